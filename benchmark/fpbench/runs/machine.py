"""What a record says of the machine: the documents that `fpbench.runs.environment` fills in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fpbench.documents import Document


class ArithmeticEntry(Document):
    """What decides in which order and how exactly numbers are added, which training amplifies."""

    processor: str = Field(description="Processor: name, and family, model and stepping.")
    accelerator: str | None = Field(default=None, description="The GPU that was used, or null.")
    instructions: list[str] = Field(description="Its instruction sets for vectors, sorted.")
    precision: dict[str, str] = Field(
        description="Precision of matrix products and convolutions in float32, and of training "
        "where the method does not choose (fp32 or bf16); empty for a job that needed no torch."
    )
    libraries: dict[str, str] = Field(
        description="Libraries of kernels by name and by the package that brings each: version, "
        "and the kernels that it chose for the processor."
    )
    threads: dict[str, Annotated[int, Field(ge=0, le=1 << 20)]] = Field(
        description="Threads of each library that has its own."
    )


class EnvironmentEntry(Document):
    """Where the job ran."""

    python: str = Field(description="Python version.")
    platform: str = Field(description="Operating system and machine.")
    cores: int = Field(ge=1, le=1 << 20, description="Processor cores available.")
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1 << 20,
        description="Threads of torch: another number adds in another order, which training "
        "amplifies. Null in records of before it was noted, and of a job that needed no torch.",
    )
    executor: str | None = Field(
        default=None, description="What ran the job, e.g. local or slurm; null in older records."
    )
    packages: dict[str, str] = Field(description="Versions of the packages that matter.")
    git_commit: str | None = Field(description="Commit of fpbench's checkout, or null.")
    git_dirty: bool | None = Field(description="Whether that checkout had changes, or null.")
    arithmetic: ArithmeticEntry | None = Field(
        default=None, description="How numbers were added; null in records of before it was noted."
    )
