"""People: who they are, how they sign in, how they get back in with a forgotten password.

Offers `people` (find, add), `sessions`, `setup` (the first administrator), `password_reset` (the row that a
stranger's request writes, and the job that answers it). Fills `g.user` for every other room. Never sends mail
itself, never shows whether an account exists, keeps of passwords and tokens only hashes.
"""

from portal.accounts import factor_models, import_models, models, provider_models, recovery_models

__all__ = ["factor_models", "import_models", "models", "provider_models", "recovery_models"]
