"""Why a document cannot be read: codes, and for each what its sender can do."""

from typing import Final

SENTENCES: Final = {
    "damaged": "The file is damaged or cut off. Save or export it again, and send that.",
    "encrypted": "The file is protected by a password. Save it without one, and send that.",
    "no_text": "No text was found in it. Send a sharper scan, or the text itself.",
    "old_format": "It was written by a Word older than Word 97. Save it as .docx, and send that.",
    "too_complex": "Reading it takes more memory than is allowed. Export it as a simpler PDF, or send it in parts.",
    "too_large": "Unpacked it is larger than is allowed. Send it in parts, or with smaller images.",
    "too_long": "It holds more text than is allowed. Send the part that matters for the visit.",
    "too_many_pages": "It has more pages than are allowed. Send the pages that matter for the visit.",
    "too_slow": "Reading it takes longer than is allowed. Send fewer pages, or export it as a simpler PDF.",
    "unsafe": "It declares XML entities, which no word processor writes. Save it again, and send that.",
    "unsupported": "It is none of pdf, docx, doc, rtf, txt, md, jpg, png. Export it as PDF, and send that.",
}
"""By code. Neither holds anything of the document."""


class RefusedError(Exception):
    """The document cannot be read, for the reason that ``code`` names; only in the process that reads it."""

    def __init__(self, code: str) -> None:
        super().__init__(SENTENCES[code])
        self.code = code
