// What instrumented tests take from androidx.test, which is on Google's Maven only: compiled against, never run.
@file:JvmMultifileClass
@file:JvmName("AndroidXStubs")

package androidx.test.platform.app

import android.content.Context

class Instrumentation(val context: Context, val targetContext: Context)

object InstrumentationRegistry {
    @JvmStatic
    fun getInstrumentation(): Instrumentation = TODO()
}
