"""The HTTP API for applications: JSON in, JSON out, problem details for every error; its description and its page.

Who calls is known by its key alone: no cookie, no session, no form token. What a request may hold is said once, in
shapes that read it and describe it. A message is answered with 202 after the commit that holds it.
Never shows a body, nor anything of another server.
"""
