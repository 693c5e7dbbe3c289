"""Random sagas under random faults: interpreted and compiled, the same course in everything.

`expressions`, `contracts`, `blocks`, `steps`, `ways` and `sagas` write a saga, `scripts` what goes
wrong; `pairs` runs both and compares, `explore` rolls, `reduction` shrinks, `features` names what
occurred. `python -m compile.equivalence` (`make equivalence`) does it at length.
"""
