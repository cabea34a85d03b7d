package androidx.test.ext.junit.runners

import org.junit.runner.Description
import org.junit.runner.Runner
import org.junit.runner.notification.RunNotifier

class AndroidJUnit4(private val kind: Class<*>) : Runner() {
    override fun getDescription(): Description = Description.createSuiteDescription(kind)

    override fun run(notifier: RunNotifier) = TODO()
}
