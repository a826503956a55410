"""Context documents read: the text of pdf, docx, doc, rtf and plain text, and by OCR that of scans and photos."""
