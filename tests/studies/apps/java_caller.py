"""A program in Java that calls a bundle's Kotlin as an app in Java would: it opens, runs, reads every result, closes."""

from edgekit.bundles.facts import BundleFacts, InputFacts, ResultFacts

CALLER = """package callers;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import android.content.Context;
import com.google.ai.edge.litert.LiteRtException;
import edgekit.{flat}.*;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;

/** Calls {pascal}. */
public class {pascal}Caller {{
    /** An engine in Java: it gives the golden outputs. */
    static final class Replay implements Engine {{
        boolean closed;

        @Override
        public Accelerator getAccelerator() {{
            return Accelerator.CPU;
        }}

        @Override
        public String getFallback() {{
            return null;
        }}

        @Override
        public List<ByteBuffer> run(List<ByteBuffer> inputs) {{
            assertEquals(Variant.{variant}.getInputs().size(), inputs.size());
            List<ByteBuffer> given = new ArrayList<>();
            for (String name : new String[] {{{outputs}}}) given.add(golden(name + ".raw"));
            return given;
        }}

        @Override
        public void close() {{
            closed = true;
        }}
    }}

    static ByteBuffer golden(String name) {{
        try (InputStream stream = {pascal}Caller.class.getResourceAsStream("/00." + name + ".bin")) {{
            byte[] bytes = stream.readAllBytes();
            ByteBuffer buffer = ByteBuffer.allocateDirect(bytes.length).order(ByteOrder.nativeOrder()).put(bytes);
            buffer.rewind();
            return buffer;
        }} catch (IOException error) {{
            throw new AssertionError(error);
        }}
    }}

    @Test
    public void calls() {{
        Replay engine = new Replay();
        try ({pascal} network = new {pascal}(engine)) {{
            assertEquals(Accelerator.CPU, network.getAccelerator());
            assertNull(network.getFallback());
            assertEquals(Variant.{variant}, network.getVariant());
            {pascal}Result result = network.run({inputs});
{results}
        }}
        assertTrue(engine.closed);
    }}

    static {pascal} opened(Context context, boolean old) throws LiteRtException, IOException {{
        if (old) return {pascal}OnAndroid.open{pascal}WithInterpreter(context, 4);
        {pascal} network = {pascal}OnAndroid.open{pascal}(context, Accelerator.GPU);
        if (network.getFallback() == null) return network;
        network.close();
        return {pascal}OnAndroid.open{pascal}(context, Accelerator.CPU, Variant.{variant});
    }}
{helpers}}}
"""

NUMBERS = {
    "float32": ("float", "getFloat", 4),
    "int64": ("long", "getLong", 8),
    "int32": ("int", "getInt", 4),
    "int16": ("int", "getShort", 2),
}
"""By dtype: Java's type, how to read one, and its bytes; other dtypes are bytes that become ints."""

READ = {
    "classification": ("List<Category>", "String label = one.getLabel(); float score = one.getScore(); int index = one.getIndex();"),
    "detection": ("List<Detection>", "float width = one.getRight() - one.getLeft(); float height = one.getBottom() - one.getTop();"),
    "keypoints": ("List<Keypoint>", "float x = one.getX(); float y = one.getY(); float score = one.getScore();"),
}  # fmt: skip
"""By task: the type of a result that is a list, and how one of it is read."""


def caller(facts: BundleFacts) -> str:
    """The program, as a JUnit test that reads the first golden sample."""
    return CALLER.format(
        flat=facts.model.flat,
        pascal=facts.model.pascal,
        variant=facts.variant.name.upper,
        outputs=", ".join(f'"{tensor.name.snake}"' for tensor in facts.outputs),
        inputs=", ".join(_given(one) for one in facts.inputs),
        results="\n".join(f"            {_read(one)}" for one in facts.results),
        helpers=_helpers(facts),
    )


def _type(dtype: str) -> str:
    """The type in Java of numbers that an app sees."""
    return NUMBERS.get(dtype, ("int", "", 1))[0]


def _given(one: InputFacts) -> str:
    """An expression that makes an input of its golden file."""
    name = f'golden("{one.name.snake}.given")'
    if one.image is not None:
        return f"new Picture({one.image.width}, {one.image.height}, bytes({name}))"
    if one.kind == "audio":
        return f"floats({name})"
    if one.kind == "tokens":
        return f"ids({name})"
    return f"{one.tensor.seen}s({name})"


def _helpers(facts: BundleFacts) -> str:
    """Methods that read golden files as Java's arrays, those alone that the program calls."""
    needed = {"image": "bytes", "audio": "floats", "tokens": "ids"}
    names = {needed.get(one.kind, f"{one.tensor.seen}s") for one in facts.inputs}
    return "".join(_helper(name) for name in sorted(names))


def _helper(name: str) -> str:
    if name == "bytes":
        return (
            "\n    static byte[] bytes(ByteBuffer from) {\n        byte[] made = new byte[from.capacity()];\n"
            "        from.get(made);\n        return made;\n    }\n"
        )
    dtype = {"floats": "float32", "ids": "int64"}.get(name, name.removesuffix("s"))
    kind, get, size = NUMBERS.get(dtype, ("int", "get", 1))
    cast, kind = ("(int) ", "int") if name == "ids" else ("", kind)
    mask = " & 0xFF" if dtype == "uint8" else ""
    return (
        f"\n    static {kind}[] {name}(ByteBuffer from) {{\n        {kind}[] made = new {kind}[from.capacity() / {size}];\n"
        f"        for (int i = 0; i < made.length; i++) made[i] = {cast}from.{get}(i * {size}){mask};\n        return made;\n    }}\n"
    )


def _read(one: ResultFacts) -> str:
    """Statements that read a result, each into a variable of the type that Java sees."""
    get = f"result.get{one.name.pascal}()"
    if one.task in READ:
        kind, read = READ[one.task]
        item = kind.removeprefix("List<").removesuffix(">")
        return f"{kind} of{one.name.pascal} = {get};\n            for ({item} one : of{one.name.pascal}) {{ {read} }}"
    if one.task == "segmentation":
        return f"assertEquals({get}.getWidth() * {get}.getHeight(), {get}.getClasses().length);"
    kind = _type("float32" if one.task in {"regression", "embedding"} else one.tensor.seen)
    return f"{kind}[] of{one.name.pascal} = {get};\n            assertTrue(of{one.name.pascal}.length > 0);"
