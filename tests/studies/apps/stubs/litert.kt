// The documented surface of LiteRT's Kotlin API (2.1), without anything behind it: its library is not in a registry that
// tests reach, so that code which uses it is compiled against this and never run.
package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

class Environment

class TensorBuffer : AutoCloseable {
    fun writeInt(data: IntArray): Unit = TODO()

    fun writeFloat(data: FloatArray): Unit = TODO()

    fun writeInt8(data: ByteArray): Unit = TODO()

    fun writeBoolean(data: BooleanArray): Unit = TODO()

    fun readInt(): IntArray = TODO()

    fun readFloat(): FloatArray = TODO()

    fun readInt8(): ByteArray = TODO()

    fun readBoolean(): BooleanArray = TODO()

    override fun close() = TODO()
}

class CompiledModel : AutoCloseable {
    class Options(vararg val accelerators: Accelerator)

    fun createInputBuffers(): List<TensorBuffer> = TODO()

    fun createOutputBuffers(): List<TensorBuffer> = TODO()

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>): Unit = TODO()

    override fun close() = TODO()

    companion object {
        @JvmStatic
        @JvmOverloads
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options(Accelerator.CPU),
            optionalEnv: Environment? = null,
        ): CompiledModel = TODO()
    }
}
