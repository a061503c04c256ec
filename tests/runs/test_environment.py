"""What a record says of the machine, and what is told where two machines differ."""

from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fpbench.runs.environment import (
    describe_environment,
    environment_differences,
    processor_facts,
)
from fpbench.runs.machine import EnvironmentEntry

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
model name\t: Intel(R) Xeon(R) Processor
stepping\t: 2
flags\t\t: fpu sse sse4_1 sse4_2 smep smap avx avx2 fma f16c avx512f avx512_bf16 amx_tile

processor\t: 1
model name\t: another
flags\t\t: avx9
"""
ARM = """processor\t: 0
Features\t: fp asimd evtstrm aes asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
CPU revision\t: 1
"""


def test_environment_names_the_commit() -> None:
    found = describe_environment()
    assert found.packages["fpbench"]
    if found.git_commit is not None:
        assert len(found.git_commit) == 40 and found.git_dirty is not None


def test_what_adds_numbers_is_noted() -> None:
    with threadpool_limits(limits=1, user_api="blas"):
        found = describe_environment().arithmetic
    assert found is not None and found.processor and found.accelerator is None
    assert found.threads["openblas of numpy"] == 1
    assert found.libraries["openblas of numpy"][0].isdigit()
    assert found.libraries["oneDNN of torch"] in torch.__config__.show()
    assert found.libraries["MKL of torch"] in torch.__config__.show()
    assert found.libraries["kernels of torch"] == torch.backends.cpu.get_cpu_capability()
    assert found.precision == {"matrix products in float32": "highest", "training": "fp32"}
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = describe_environment().arithmetic
    finally:
        torch.set_float32_matmul_precision(before)
    assert found is not None and found.precision["matrix products in float32"] == "medium"


@pytest.mark.parametrize(
    ("text", "name", "instructions"),
    [
        (
            INTEL,
            "Intel(R) Xeon(R) Processor, family 6, model 207, stepping 2",
            "amx_tile avx avx2 avx512_bf16 avx512f f16c fma sse4_1 sse4_2",
        ),
        (
            ARM,
            "CPU implementer 0x41, CPU part 0xd40, CPU revision 1",
            "asimd asimddp bf16 i8mm sve",
        ),
    ],
)
def test_processors_by_their_numbers(
    tmp_path: Path, text: str, name: str, instructions: str
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(text, "utf-8")
    found = processor_facts(info)
    assert found[0].endswith(name) and " ".join(found[1]) == instructions
    assert processor_facts(tmp_path / "nowhere")[1] == []


def changed(entry: EnvironmentEntry, **arithmetic: object) -> EnvironmentEntry:
    assert entry.arithmetic is not None
    other = entry.arithmetic.model_copy(update=arithmetic)
    return entry.model_copy(update={"arithmetic": other})


def test_what_differs_is_told() -> None:
    here = describe_environment()
    assert here.arithmetic is not None
    assert environment_differences(here, here) == []
    there = changed(
        here,
        processor="AMD EPYC, family 25",
        instructions=[*here.arithmetic.instructions, "avx9"],
        precision={**here.arithmetic.precision, "training": "bf16"},
        libraries={**here.arithmetic.libraries, "oneDNN of torch": "2.0", "blis of numpy": "1"},
        threads={name: count + 1 for name, count in here.arithmetic.threads.items()},
    )
    there = there.model_copy(update={"packages": {**here.packages, "torch": "1.0"}})
    told = environment_differences(there, here)
    assert told[:3] == [
        f"torch: 1.0 in the record, {here.packages['torch']} here",
        f"processor: AMD EPYC, family 25 in the record, {here.arithmetic.processor} here",
        "instruction sets only where the record was made: avx9",
    ]
    assert told[3] == "training: bf16 in the record, fp32 here"
    assert told[4].startswith("oneDNN of torch: 2.0 in the record, ")
    assert len(told) == 5 + len(here.arithmetic.threads)


def test_of_an_older_record_that_it_does_not_say() -> None:
    here = describe_environment()
    old = here.model_copy(update={"arithmetic": None})
    assert environment_differences(old, here) == [
        "The record is of before processor and libraries were noted."
    ]
