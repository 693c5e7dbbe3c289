# Makes this folder a package: its modules import each other.
