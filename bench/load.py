"""What every case sends: about 4 kB of text, alone or beside 8 kB of HTML, as portals write to people."""

BODY = "A line of the message that says nothing in particular, as many lines do.\n" * 55
HTML = (
    "<!doctype html><html><body><table role='presentation'><tr><td>"
    + "<p style='margin:0 0 16px'>A line of the message that says nothing in particular, as many lines do.</p>\n" * 75
    + "</td></tr></table></body></html>\n"
)
LOADS = {"text": None, "text_html": HTML}  # by name, what stands beside the text
WARM_UP = 50  # messages of a backlog's case that leave before its clock starts
