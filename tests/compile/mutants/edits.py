"""The miscompilations, each as one edit of a module of `sagalang.compile`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in the module; `new` takes its place."""

    name: str
    module: str
    old: str
    new: str


MUTANTS: Final = (
    Mutant(
        "two steps, and so what undoes them, in the other order",
        "statements",
        "    for found, alive in zip(block.statements, reversed(lives), strict=True):\n",
        "    pairs = list(zip(block.statements, reversed(lives), strict=True))\n"
        "    for at in range(len(pairs) - 1):\n"
        "        one, other = pairs[at][0], pairs[at + 1][0]\n"
        "        plain = all(isinstance(x, p.Step) and not x.pivot for x in (one, other))\n"
        "        if plain and one.name not in reads.of(other):\n"
        "            pairs[at : at + 2] = [pairs[at + 1], pairs[at]]\n"
        "    for found, alive in pairs:\n",
    ),
    Mutant(
        "the key of a step after its operation instead of its path",
        "steps",
        'env = replace(env, key=f"{env.saga}.key({string(found.path)})")',
        'env = replace(env, key=f"{env.saga}.key({string(found.call.label)})")',
    ),
    Mutant(
        "the key of a step without the loop around it",
        "steps",
        'env = replace(env, key=f"{env.saga}.key({string(found.path)})")',
        'env = replace(env, key=f"saga.key({string(found.path)})")',
    ),
    Mutant(
        "the key of a step outside as if it stood in the loop",
        "expressions",
        'around = "" if depth == env.depth else f", {depth}"',
        'around = ""',
    ),
    Mutant(
        "a function in a loop that takes one name of the iteration for another",
        "statements",
        'params += [Text(f"{v}: {outer.types[v]} = {v}") for v in sorted(read & outer.looping)]',
        "changing = sorted(read & outer.looping)\n"
        "    kinds = outer.types\n"
        "    taken = {v: next(o for o in changing if kinds[o] == kinds[v]) for v in changing}\n"
        '    params += [Text(f"{v}: {outer.types[v]} = {taken[v]}") for v in changing]',
    ),
    Mutant(
        "a callback in a loop that takes one name of the iteration for another",
        "writer",
        'shown += [f"{name}: {function.types[name]} = {name}" for name in changing]',
        "kinds = function.types\n"
        "        taken = {v: next(o for o in changing if kinds[o] == kinds[v]) for v in changing}\n"
        '        shown += [f"{name}: {kinds[name]} = {taken[name]}" for name in changing]',
    ),
    Mutant(
        "no await where nobody reads the result",
        "statements",
        'if name is None or name not in live:\n        body.write("await ", doc)',
        'if name is None or name not in live:\n        body.write("", doc)',
    ),
    Mutant(
        "an answer kept that nobody reads, so that a person has to give it",
        "statements",
        'if name is None or name not in live:\n        body.write("await ", doc)',
        'if name is None or name not in live:\n        body.write("_ = await ", doc)',
    ),
    Mutant(
        "a step undone as the first one is",
        "steps",
        "options += _undo(body, found, env)",
        "options += _undo(\n"
        "            body,\n"
        "            next(\n"
        "                (\n"
        "                    other\n"
        "                    for other in body.function.saga.body.statements\n"
        "                    if isinstance(other, p.Step)\n"
        "                    and isinstance(other.compensation, p.Compensation)\n"
        "                    and isinstance(found.compensation, p.Compensation)\n"
        "                    and other.type == found.type\n"
        "                ),\n"
        "                found,\n"
        "            ),\n"
        "            env,\n"
        "        )",
    ),
    Mutant(
        "no undo where it needs the result",
        "steps",
        'return [Prefix("undo=", _compensation(body, found, undoing, env))]',
        "by_result = any(reads.mentions(arg, p.ResultOf) for arg in undoing.args)\n"
        "            doc = _compensation(body, found, undoing, env)\n"
        '            return [] if by_result else [Prefix("undo=", doc)]',
    ),
    Mutant(
        "the policy of a step dropped",
        "steps",
        "    if found.policy != usual:\n",
        "    if False:\n",
    ),
    Mutant(
        "`compensate with` dropped",
        "views",
        "    if undoing != RELENTLESS:\n",
        "    if False:\n",
    ),
    Mutant(
        "the deadline of a saga dropped",
        "views",
        "    if saga.deadline is not None:\n",
        "    if False:\n",
    ),
    Mutant(
        "`when compensated` dropped",
        "views",
        "    if has_epilogue:\n",
        "    if False:\n",
    ),
    Mutant(
        "the handlers of an attempt in the wrong order",
        "statements",
        "    for handler in found.handlers:\n        with body.scope():\n",
        "    bodies = [handler.body for handler in reversed(found.handlers)]\n"
        "    for handler, other in zip(found.handlers, bodies, strict=True):\n"
        "        if not reads.of_block(other) & {h.binder for h in found.handlers}:\n"
        "            handler = p.Handler(handler.errors, handler.binder, other, handler.span)\n"
        "        with body.scope():\n",
    ),
    Mutant(
        "a handler of the first of its errors only",
        "statements",
        "    classes = [steps.error_class(module, name) for name in handler.errors]\n",
        "    classes = [steps.error_class(module, name) for name in handler.errors[:1]]\n",
    ),
    Mutant(
        "one at a time instead of `at once`",
        "statements",
        'Text(f"at_once={found.at_once}")',
        'Text("at_once=1")',
    ),
    Mutant(
        "iterations without the identity that `by` gives them",
        "steps",
        "    if found.by is None:\n        return []\n",
        "    if True:\n        return []\n",
    ),
    Mutant(
        "`where` negated",
        "steps",
        "_condition(body, found.name, event, found.where, env)",
        "_condition(\n"
        '            body, found.name, event, p.Unary("not", found.where, t.BOOL, found.span),\n'
        "            env,\n"
        "        )",
    ),
    Mutant(
        "the time of a wait ignored",
        "steps",
        'parts.append(Text(f"within={milliseconds(module, found.within)}"))',
        'parts.append(Text(f"within={milliseconds(module, 86_400_000)}"))',
    ),
    Mutant(
        "`every` and `within` of a poll swapped",
        "steps",
        'Text(f"every={milliseconds(module, found.every)}"),\n'
        '        Text(f"within={milliseconds(module, found.within)}"),',
        'Text(f"every={milliseconds(module, found.within)}"),\n'
        '        Text(f"within={milliseconds(module, found.every)}"),',
    ),
    Mutant(
        "the pivot as a plain step",
        "steps",
        "    elif found.pivot:\n        method",
        "    elif False:\n        method",
    ),
    Mutant(
        "`best effort` as a plain step",
        "steps",
        '        method = "best_effort"\n',
        '        method = "step"\n',
    ),
    Mutant(
        "an optional argument left out although it is given",
        "steps",
        "    while given and given[-1] is None:\n",
        "    types = [q.type for q in module.program.operation(found).params]\n"
        "    while given and (given[-1] is None or t.is_optional(types[len(given) - 1])):\n",
    ),
    Mutant(
        "a decimal as a float",
        "literals",
        'return f\'{module.use("Decimal")}("{value}")\'',
        "return f'{module.use(\"Decimal\")}({float(value)!r})'",
    ),
    Mutant(
        "the arguments of a call in the wrong order",
        "steps",
        "    return [render_for(home, module, arg, param.type, env) for arg, param in typed]\n",
        "    made = [render_for(home, module, arg, param.type, env) for arg, param in typed]\n"
        "    if len(made) > 1 and params[0].type == params[1].type:\n"
        "        made[:2] = made[1::-1]\n"
        "    return made\n",
    ),
    Mutant(
        "`else escalate` dropped",
        "steps",
        "    if found.escalate is not None and not found.best_effort:\n",
        "    if False:\n",
    ),
    Mutant(
        "`after` of `else escalate` dropped",
        "steps",
        "    if found.after != 3_600_000:\n",
        "    if False:\n",
    ),
    Mutant(
        "a child whose pivot is forgotten",
        "steps",
        '        options.append(Text("pivot=True"))\n',
        "        pass\n",
    ),
    Mutant(
        "the promise that rejections are recorded dropped",
        "services",
        "        if value == getattr(usual, name):\n            continue\n",
        '        if value == getattr(usual, name) or name == "records_rejections":\n'
        "            continue\n",
    ),
    Mutant(
        "`is null` and `is not null` swapped",
        "expressions",
        'sign = {"==": "is", "!=": "is not"}.get(sign, sign)',
        'sign = {"==": "is not", "!=": "is"}.get(sign, sign)',
    ),
)
