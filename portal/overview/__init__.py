"""The first page after sign-in: by role, what stands, what waits and what to do next. Only reads."""
