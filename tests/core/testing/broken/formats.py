"""A sound format, and one for each way to be wrong, with the test of the kit that has to catch it."""

# ruff: noqa: ARG002 - hooks and protocols name their arguments

from __future__ import annotations

import _pickle
import builtins
import contextlib
import io
import json
import logging
import os
import pickle
import random
import socket
import struct
import sys
import threading
import time
import warnings
from pathlib import Path
from pickle import loads

import numpy as np
import pytest
import yaml

from modelshelf.errors import BudgetExceededError, FormatError
from modelshelf.model import Depth, Detection, Finding, FormatType, ModelMetadata, Origin, Severity
from modelshelf.testing import FormatCase, FormatSuite

HEADER = struct.Struct("<8sQ")
MAGIC = b"NUMBERS\0"
NUMBERS = 20_000


class Numbers:
    """Eight bytes of magic, a count, that many float32 numbers."""

    suffix = ".numbers"

    def modelshelf_formats(self):
        yield FormatType(name="numbers", suffixes=(self.suffix,), magic=((0, MAGIC),))

    def modelshelf_detect_format(self, candidate):
        if candidate.head.startswith(MAGIC):
            return Detection(format="numbers", confidence=0.9)
        return Detection(format="numbers", confidence=0.2) if candidate.suffix == ".numbers" else None

    def modelshelf_extract_metadata(self, artifact, format, reader):
        return self.metadata(reader) if format == "numbers" else None

    def modelshelf_probe_health(self, artifact, format, reader):
        return self.findings(reader) if format == "numbers" else None

    def metadata(self, reader):
        return ModelMetadata.partial(Origin.HEADER, "header", parameters=self.count(reader))

    def findings(self, reader):
        file = reader.file()
        if file.size != HEADER.size + 4 * self.count(reader):
            return [Finding(code="size", severity=Severity.ERROR, message="wrong", file=file.name, offset=0)]
        return []

    def count(self, reader):
        magic, count = HEADER.unpack(reader.file().read(0, HEADER.size))
        if magic != MAGIC:
            raise FormatError("no numbers", file=reader.file().name, offset=0)
        return count


@pytest.fixture
def format_case(request, tmp_path):
    file = tmp_path / "model" / "model.numbers"
    file.parent.mkdir()
    table = json.dumps({"dtype": "F32", "shape": [16], "offset": 80000}).encode().ljust(64)
    content = HEADER.pack(MAGIC, NUMBERS) + bytes(4 * NUMBERS)
    file.write_bytes(content[: WithTable.at] + table + content[WithTable.at + len(table) :])
    return FormatCase(plugin=request.cls.Plugin(), format="numbers", weights=file)


class TestSound(FormatSuite):
    Plugin = Numbers
    caught_by = None


class TestLacksAHook(FormatSuite):
    class Plugin:
        modelshelf_formats = Numbers.modelshelf_formats
        suffix = ".numbers"

    caught_by = "test_the_plugin_loads_with_every_hook_of_a_format"


class TestShoutsItsSuffix(FormatSuite):
    class Plugin(Numbers):
        suffix = ".TALLY"

    caught_by = "test_the_format_is_declared"


class TestFindsFaultWithAll(FormatSuite):
    class Plugin(Numbers):
        def findings(self, reader):
            return [Finding(code="no", severity=Severity.ERROR, message="never good enough")]

    caught_by = "test_a_sound_model_is_healthy_at_every_depth"


class TestTellsNoOrigin(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            return ModelMetadata(parameters=self.count(reader))

    caught_by = "test_metadata_tells_where_each_value_comes_from"


class TestFindsOutsideOfTheFile(FormatSuite):
    class Plugin(Numbers):
        def findings(self, reader):
            size = HEADER.size + 4 * self.count(reader)
            if reader.file().size != size:
                yield Finding(code="size", severity=Severity.ERROR, message="wrong", offset=size)

    caught_by = "test_findings_are_well_formed"


class TestClaimsEverything(FormatSuite):
    class Plugin(Numbers):
        def modelshelf_detect_format(self, candidate):
            return Detection(format="numbers", confidence=0.1)

    caught_by = "test_foreign_content_is_not_claimed"


class TestSpeaksOfOtherFormats(FormatSuite):
    class Plugin(Numbers):
        def modelshelf_extract_metadata(self, artifact, format, reader):
            return self.metadata(reader)

    caught_by = "test_models_of_other_formats_are_left_alone"


class TestReadsTheWeights(FormatSuite):
    class Plugin(Numbers):
        def findings(self, reader):
            reader.file().read(0, reader.file().size)
            return super().findings(reader)

    caught_by = "test_headers_alone_are_read"


class TestReadsPastItsBudget(FormatSuite):
    class Plugin(Numbers):
        def count(self, reader):
            try:
                return super().count(reader)
            except BudgetExceededError:
                with Path(reader.artifact.path).open("rb") as stream:
                    return HEADER.unpack(stream.read(HEADER.size))[1]

    caught_by = "test_a_spent_budget_is_no_clean_bill"


class TestOpensThePathItself(FormatSuite):
    class Plugin(Numbers):
        def count(self, reader):
            with Path(reader.artifact.path).open("rb") as stream:
                head = stream.read(HEADER.size)
            return HEADER.unpack(head)[1]

    caught_by = "test_bytes_come_from_the_reader_alone"


class TestRaisesAForeignException(FormatSuite):
    class Plugin(Numbers):
        def count(self, reader):
            return HEADER.unpack(reader.file().read_up_to(0, HEADER.size))[1]

    caught_by = "test_every_truncation_is_found"


class TestBelievesTheHeader(FormatSuite):
    class Plugin(Numbers):
        def findings(self, reader):
            self.count(reader)
            return []

    caught_by = "test_every_truncation_is_found"


class TestAllocatesWhatItIsTold(FormatSuite):
    class Plugin(Numbers):
        def findings(self, reader):
            bytearray(super().count(reader))
            return super().findings(reader)

    caught_by = "test_no_lie_gets_anything_but_a_read_error"


class TestIsNotDeterministic(FormatSuite):
    class Plugin(Numbers):
        asked = 0

        def metadata(self, reader):
            type(self).asked += 1
            return ModelMetadata.partial(Origin.HEADER, "asked", parameters=self.asked)

    caught_by = "test_the_same_bytes_give_the_same_answer"


class TestChangesItsInput(FormatSuite):
    class Plugin(Numbers):
        def modelshelf_extract_metadata(self, artifact, format, reader):
            artifact.facts["seen"] = True
            return super().modelshelf_extract_metadata(artifact, format, reader)

    caught_by = "test_nothing_that_it_is_given_is_changed"


class TestLeavesAFileBeside(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            if os.path.isdir(reader.artifact.folder):
                Path(reader.artifact.folder, "cache").write_bytes(b"")
            return super().metadata(reader)

    caught_by = "test_nothing_that_it_is_given_is_changed"


class TestUnpickles(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            pickle.loads(b"cbuiltins\nlen\n.")  # noqa: S301 - what the kit has to catch
            return super().metadata(reader)

    caught_by = "test_nothing_is_run_written_fetched_or_unpickled"


class TestStartsAProgram(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            os.system("true")  # noqa: S605 - what the kit has to catch
            return super().metadata(reader)

    caught_by = "test_nothing_is_run_written_fetched_or_unpickled"


class TestAsksTheNetwork(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            with contextlib.suppress(OSError), socket.socket() as asked:
                asked.connect(("127.0.0.1", 9))
            return super().metadata(reader)

    caught_by = "test_nothing_is_run_written_fetched_or_unpickled"


class TestPrints(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            print("looking")  # noqa: T201 - what the kit has to catch
            return super().metadata(reader)

    caught_by = "test_nothing_is_printed_and_no_setting_of_the_process_changed"


class TestTellsWhatNoStoreKeeps(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            return ModelMetadata.partial(Origin.HEADER, "header", details={"made": object()})

    caught_by = "test_a_scan_records_it_and_a_second_scan_reads_nothing"


class WithTable(Numbers):
    """Beyond the first 1,024 bytes, where only who looks at what is read tells lies: a table of JSON."""

    at = 4096

    def table(self, reader):
        raw = reader.file().read(self.at, 64)
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise FormatError("no table", file=reader.file().name, offset=self.at) from error
        if not isinstance(value, dict):
            raise FormatError("no table", file=reader.file().name, offset=self.at)
        return value

    def findings(self, reader):
        self.use(reader, self.table(reader))
        return super().findings(reader)

    def use(self, reader, table):
        pass


class TestBelievesTheKeysOfATable(FormatSuite):
    class Plugin(WithTable):
        def use(self, reader, table):
            table["dtype"]

    caught_by = "test_no_lie_gets_anything_but_a_read_error"


class TestBelievesTheTypesOfATable(FormatSuite):
    class Plugin(WithTable):
        def use(self, reader, table):
            table.get("shape", [1])[0] * 2

    caught_by = "test_no_lie_gets_anything_but_a_read_error"


class TestBelievesACodeOfATable(FormatSuite):
    class Plugin(WithTable):
        def use(self, reader, table):
            {"F32": 4}[table.get("dtype", "F32")]

    caught_by = "test_no_lie_gets_anything_but_a_read_error"


class TestPassesOnAnOffsetOfATable(FormatSuite):
    class Plugin(WithTable):
        def findings(self, reader):
            at = self.table(reader).get("offset")
            if isinstance(at, int) and at != 80000:
                return [Finding(code="at", severity=Severity.ERROR, message="there", offset=max(at, 0))]
            return Numbers.findings(self, reader)

    caught_by = "test_a_lie_has_no_finding_outside_of_the_file"


class TestReadsAllAtDepthQuick(FormatSuite):
    class Plugin(Numbers):
        def modelshelf_probe_health(self, artifact, format, reader, depth):
            if format == "numbers" and depth is Depth.QUICK:
                reader.file().read(0, reader.file().size)
            return self.findings(reader) if format == "numbers" else None

    caught_by = "test_a_quick_look_reads_no_more_than_headers"


class TestReadsMoreAtDepthQuick(FormatSuite):
    class Plugin(Numbers):
        def modelshelf_probe_health(self, artifact, format, reader, depth):
            if format == "numbers" and depth is Depth.QUICK:
                reader.file().read(HEADER.size, 2000)
                reader.file().read(20_000, 2000)
            return self.findings(reader) if format == "numbers" else None

    caught_by = "test_a_quick_look_reads_no_more_than_headers"


HARMLESS = pickle.dumps({"a": 1})  # nothing is looked up by name, so no audit event tells of it


class Executing(Numbers):
    def metadata(self, reader):
        self.execute(reader)
        return super().metadata(reader)


SOUND = "test_a_sound_model_is_healthy_at_every_depth"


class TestUnpicklesPlainValues(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            pickle.loads(HARMLESS)  # noqa: S301

    caught_by = SOUND


class TestUnpicklesByANameOfItsOwn(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            loads(HARMLESS)  # noqa: S301

    caught_by = SOUND


class TestUnpicklesAndKeepsQuiet(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            with contextlib.suppress(Exception):
                pickle.load(io.BytesIO(HARMLESS))  # noqa: S301

    caught_by = SOUND


class TestHasAnUnpickler(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            pickle.Unpickler(io.BytesIO(HARMLESS)).load()  # noqa: S301

    caught_by = SOUND


class TestEvaluates(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            eval("{'a': 1}")  # noqa: S307

    caught_by = SOUND


class TestExecutes(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            builtins.exec("a = 1")  # noqa: S102

    caught_by = SOUND


SETTINGS = "test_nothing_is_printed_and_no_setting_of_the_process_changed"


class TestRaisesTheRecursionLimit(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            sys.setrecursionlimit(sys.getrecursionlimit() + 1)
            return super().metadata(reader)

    caught_by = SETTINGS


class TestChangesTheImportPath(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            sys.path.insert(0, reader.artifact.folder)
            return super().metadata(reader)

    caught_by = SETTINGS


class TestHidesWarnings(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            warnings.filterwarnings("ignore", message=f"at {time.monotonic_ns()}")
            return super().metadata(reader)

    caught_by = SETTINGS


class TestSeedsTheRandomNumbers(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            random.seed(time.monotonic_ns())
            return super().metadata(reader)

    caught_by = SETTINGS


class TestLeavesAThread(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
            return super().metadata(reader)

    caught_by = SETTINGS


class TestConfiguresLogging(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            logging.getLogger().addHandler(logging.NullHandler())
            return super().metadata(reader)

    caught_by = SETTINGS


class TestUnpicklesByTheModuleBelow(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            _pickle.loads(HARMLESS)

    caught_by = SOUND


class TestUnpicklesByPythonCode(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            pickle._loads(HARMLESS)

    caught_by = SOUND


class TestLetsNumpyUnpickle(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            np.load(io.BytesIO(HARMLESS), allow_pickle=True)

    caught_by = SOUND


class TestLoadsYamlWithItsTags(FormatSuite):
    class Plugin(Executing):
        def execute(self, reader):
            yaml.load("a: 1", Loader=yaml.UnsafeLoader)  # noqa: S506

    caught_by = SOUND


class TestDividesByAValue(FormatSuite):
    class Plugin(WithTable):
        def use(self, reader, table):
            at = table.get("offset")
            if type(at) is int:
                self.share = NUMBERS // at

    caught_by = "test_no_lie_gets_anything_but_a_read_error"


class TestBelievesThatAnArrayHasAnItem(FormatSuite):
    class Plugin(WithTable):
        def use(self, reader, table):
            shape = table.get("shape")
            if isinstance(shape, list):
                self.rows = shape[0]

    caught_by = "test_no_lie_gets_anything_but_a_read_error"


class TestDecodesWhatItReads(FormatSuite):
    class Plugin(WithTable):
        def findings(self, reader):
            reader.file().read(self.at, 64).decode()
            return Numbers.findings(self, reader)

    caught_by = "test_no_lie_gets_anything_but_a_read_error"


class TestNeverEnds(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            while True:
                pass

    caught_by = SOUND


class TestNeverEndsAndCatchesAll(FormatSuite):
    class Plugin(Numbers):
        def metadata(self, reader):
            while True:
                try:  # noqa: SIM105 - as people write it
                    time.sleep(60)
                except Exception:  # noqa: BLE001, S110
                    pass

    caught_by = SOUND


class TestNeverEndsOnALie(FormatSuite):
    class Plugin(Numbers):
        def findings(self, reader):
            size, at = self.count(reader), 0
            while size >> 32 and at != size:
                at = (at + 1) % 1000
            return super().findings(reader)

    caught_by = "test_no_lie_gets_anything_but_a_read_error"
