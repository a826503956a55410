"""Makes small releases in the exact formats of their holders, with invented content."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = "138875005"
IS_A = "116680003"
FULL_NAME, SYNONYM = "900000000000003001", "900000000000013009"
PREFERRED, ACCEPTABLE = "900000000000548007", "900000000000549004"
AMERICAN, BRITISH = "900000000000509007", "900000000000508004"
ICD_10_MAP = "447562003"
CORE = "900000000000207008"


def _times(a: int, b: int) -> int:
    """The product of the dihedral group of order ten: 0-4 turn, 5-9 turn and flip."""
    turned = (a + b if a < 5 else a - b) % 5
    return turned if (a < 5) == (b < 5) else 5 + turned


def _permuted(digit: int, times: int) -> int:
    for _ in range(times % 8):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit


def identifier(item: int, *, kind: str = "00") -> str:
    """Return an SCTID: item, partition (00 concept, 01 description, 02 relationship), Verhoeff's check digit."""
    digits = f"{item}{kind}"
    for last in "0123456789":
        check = 0
        for place, digit in enumerate(reversed(digits + last)):
            check = _times(check, _permuted(int(digit), place))
        if check == 0:
            return digits + last
    raise AssertionError("one of ten digits always fits")


FEVER, SNEEZE, OLD, BOTH = (identifier(n) for n in (700001, 700002, 700003, 700004))


def lines(head: str, *rows: tuple[str, ...]) -> str:
    """Return an RF2 file: tabs between columns, each line ended by CR LF."""
    return "".join("\t".join(row) + "\r\n" for row in (tuple(head.split()), *rows))


def rf2(day: str = "20260101", namespace: str = "INT", since: str = "20240101") -> dict[str, str]:
    """Return the files of a snapshot: a root, two disorders, one below both, one inactive."""

    def concept(code: str, active: str = "1") -> tuple[str, ...]:
        return (code, since, active, CORE, "900000000000074008")

    def described(item: int, code: str, kind: str, term: str) -> tuple[str, ...]:
        return (identifier(item, kind="01"), since, "1", CORE, code, "en", kind, term, "900000000000448009")

    def is_a(item: int, code: str, above: str, active: str = "1") -> tuple[str, ...]:
        kinds = (IS_A, "900000000000011006", "900000000000451002")
        return (identifier(item, kind="02"), since, active, CORE, code, above, "0", *kinds)

    def spoken(number: int, refset: str, item: int, how: str) -> tuple[str, ...]:
        uuid = f"00000000-0000-4000-8000-{number:012d}"
        return (uuid, since, "1", CORE, refset, identifier(item, kind="01"), how)

    def mapped(number: int, code: str, priority: str, rule: str, target: str) -> tuple[str, ...]:
        uuid = f"00000000-0000-4000-8001-{number:012d}"
        return (uuid, since, "1", CORE, ICD_10_MAP, code, "1", priority, rule, f"ALWAYS {target}", target,
                "447561005", "447637006")  # fmt: skip

    end = f"{namespace}_{day}.txt"
    terminology = "SnomedCT_Release/Snapshot/Terminology"
    refset = "SnomedCT_Release/Snapshot/Refset"
    return {
        f"{terminology}/sct2_Concept_Snapshot_{end}": lines(
            "id effectiveTime active moduleId definitionStatusId",
            concept(ROOT), concept(FEVER), concept(SNEEZE), concept(BOTH), concept(OLD, "0"),
        ),
        f"{terminology}/sct2_Description_Snapshot-en_{end}": lines(
            "id effectiveTime active moduleId conceptId languageCode typeId term caseSignificanceId",
            described(1001, ROOT, FULL_NAME, "Everything (everything)"),
            described(1002, FEVER, FULL_NAME, "Moorland fever (disorder)"),
            described(1003, FEVER, SYNONYM, "Moorland fever"),
            described(1004, FEVER, SYNONYM, "Peat cutter's ague"),
            described(1005, SNEEZE, FULL_NAME, "Thistle sneezing (finding)"),
            described(1006, SNEEZE, SYNONYM, "Thistle sneezing color"),
            described(1007, SNEEZE, SYNONYM, "Thistle sneezing colour"),
            described(1008, BOTH, FULL_NAME, "Moorland fever with thistle sneezing (disorder)"),
            described(1009, OLD, FULL_NAME, "Goblin pox (disorder)"),
        ),
        f"{terminology}/sct2_Relationship_Snapshot_{end}": lines(
            "id effectiveTime active moduleId sourceId destinationId relationshipGroup typeId characteristicTypeId "
            "modifierId",
            is_a(2001, FEVER, ROOT), is_a(2002, SNEEZE, ROOT), is_a(2003, BOTH, FEVER), is_a(2004, BOTH, SNEEZE),
            is_a(2005, OLD, ROOT, "0"),
        ),
        f"{refset}/Language/der2_cRefset_LanguageSnapshot-en_{end}": lines(
            "id effectiveTime active moduleId refsetId referencedComponentId acceptabilityId",
            spoken(1, AMERICAN, 1003, PREFERRED), spoken(2, AMERICAN, 1004, ACCEPTABLE),
            spoken(3, AMERICAN, 1006, PREFERRED), spoken(4, BRITISH, 1007, PREFERRED),
            spoken(5, BRITISH, 1003, PREFERRED),
        ),
        f"{refset}/Map/der2_iisssccRefset_ExtendedMapSnapshot_{end}": lines(
            "id effectiveTime active moduleId refsetId referencedComponentId mapGroup mapPriority mapRule mapAdvice "
            "mapTarget correlationId mapCategoryId",
            mapped(1, FEVER, "1", "IFA 248152002 | Female (finding) |", "R50.8"),
            mapped(2, FEVER, "2", "OTHERWISE TRUE", "R50.9"),
            mapped(3, SNEEZE, "1", "TRUE", "R06.7"),
        ),
    }  # fmt: skip


OPCS = {
    "OPCS410 CodesAndTitles Nov 2022 V1.0.txt": (
        "A01\tMajor excision of imaginary tissue\r\n"
        "A01.1\tTotal excision\r\n"
        "A01.9\tUnspecified\r\n"
        "Z94\tLaterality of imaginary operation\r\n"
        "Z94.2\tRight sided operation\r\n"
    ),
    "OPCS410 Metadata Nov 2022 V1.0.txt": "A011\t1\t9\r\n",
}

ACHI = {
    "interven.txt": (
        "Code_id\tBlock\tascii_desc\tascii_short_desc\teffective_from\tinactive\tsex\tStype\tAgeL\tAgeH\tAtype\r\n"
        "9990100\t8\tInvented incision of moon\tInvent incis moon\t1/07/1998\t\t\t\t\t\t\r\n"
        "9990101\t8\tInvented excision of moon\tInvent excis moon\t1/07/2025\t\t\t\t\t\t\r\n"
        "9990200\t12\tForgotten suture of cloud\tForgot suture cloud\t1/07/1998\t30/06/2010\t\t\t\t\t\r\n"
    ),
    "blocks.txt": "block\tascii_desc\tascii_short_desc\r\n8\tProcedures on moon\tMoon\r\n12\tCloud repair\tCloud\r\n",
}

CPT = {
    "LONGULT.txt": (
        "CPT codes, descriptions and other data only are copyright 2024 American Medical Association.\r\n"
        "All rights reserved.\r\n"
        "\r\n"
        "99991\tInvented office visit for an imaginary patient, 20 minutes\r\n"
        "9999F\tInvented measure of imaginary care\r\n"
        "0999T\tInvented emerging procedure on moon\r\n"
    ),
    "MEDU.txt": "COPYRIGHT 2024 AMA\r\n99991 INVENTED OFFICE VISIT 20 MIN\r\n9999F INVENTED MEASURE\r\n",
    "SHORTU.txt": "COPYRIGHT 2024 AMA\r\n99991 INVENT VISIT\r\n",
}


def zipped(path: Path, files: Mapping[str, str]) -> Path:
    """Write files into an archive and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text.encode())
    return path
