// The surface of LiteRT's Kotlin API as its sources declare it (Model.kt, TensorBuffer.kt, LiteRtException.kt), without
// anything behind it: its library is not in a registry that tests reach, so that code which uses it is compiled against
// this and never run.
package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(val code: Int, message: String) : Exception(message)

class Environment

abstract class JniHandle : AutoCloseable {
    override fun close(): Unit = TODO()
}

class TensorBuffer : JniHandle() {
    @Throws(LiteRtException::class)
    fun writeInt(data: IntArray): Unit = TODO()

    @Throws(LiteRtException::class)
    fun writeFloat(data: FloatArray): Unit = TODO()

    @Throws(LiteRtException::class)
    fun writeInt8(data: ByteArray): Unit = TODO()

    @Throws(LiteRtException::class)
    fun writeBoolean(data: BooleanArray): Unit = TODO()

    @Throws(LiteRtException::class)
    fun readInt(): IntArray = TODO()

    @Throws(LiteRtException::class)
    fun readFloat(): FloatArray = TODO()

    @Throws(LiteRtException::class)
    fun readInt8(): ByteArray = TODO()

    @Throws(LiteRtException::class)
    fun readBoolean(): BooleanArray = TODO()
}

class CompiledModel : JniHandle() {
    class Options(vararg val accelerators: Accelerator)

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = TODO()

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = TODO()

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0): Unit = TODO()

    companion object {
        @JvmStatic
        @JvmOverloads
        @Throws(LiteRtException::class)
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options(Accelerator.CPU),
            optionalEnv: Environment? = null,
        ): CompiledModel = TODO()
    }
}
