"""The subcommands of `portal`, by subject. They parse, open the application, call one room, and print.

Modules here import rooms inside their functions: `portal run` stays small, and `portal --help` quick.
"""
