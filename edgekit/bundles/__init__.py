"""Code that takes a built file into an app, with a test inside it that proves the numbers.

| module | holds |
| --- | --- |
| `naming` | identifiers from names of networks and tensors, which every language takes |
| `facts` | what templates are told: inputs, outputs, their numbers and their meaning; nothing is read or written |
| `given` | samples as an app has them: pictures of any size, recordings, ids, arrays |
| `golden` | what becomes of each sample, stage by stage, computed by `edgekit.processing` and by the file itself |
| `decisions`, `encoding` | outputs that lie close to each threshold, made up |
| `tolerances` | how far another language, or other kernels, may be from that |
| `literals`, `rendering` | templates of a language, and how text gets into its code |

The arithmetic is that of `edgekit.processing` and nowhere else: a template says the same in another language, and the
golden vectors show that it does.
"""
