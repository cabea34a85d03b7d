"""Names of values that rewrites make."""

from edgekit.sources.onnx.network import Network


def test_names_are_new_and_count_on() -> None:
    network = Network(nodes=[], constants={}, inputs=[], outputs=[], opset=17, used={"a_2", "b"})
    assert [network.fresh("a") for _ in range(4)] == ["a", "a_1", "a_3", "a_4"]
    assert [network.fresh("b") for _ in range(2)] == ["b_1", "b_2"]
    assert network.fresh("") == "_1"
    assert network.fresh("b_2") == "b_2_1"


def test_many_names_of_one_stem_ask_for_few_names_that_are_used() -> None:
    """A network that was unrolled has some ten thousand; counting anew for each took most of a minute."""

    class Asked(set[str]):
        times = 0

        def __contains__(self, name: object) -> bool:
            Asked.times += 1
            return super().__contains__(name)

    network = Network(nodes=[], constants={}, inputs=[], outputs=[], opset=17, used=Asked())
    assert len({network.fresh("step_const") for _ in range(500)}) == 500
    assert Asked.times < 1500
