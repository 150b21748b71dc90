r"""Formulas as MathML, which browsers draw themselves: `mathml(r"\frac{1}{2} \sum_i \mu_i^2")`.

It reads the part of LaTeX that the KL note is written in. `\term{NAME}{...}` gives a part of the formula the class
`term-NAME`, so that it has the colour of its bar in a figure.
"""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

TOKEN = re.compile(r"\s*(\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]+)?|[A-Za-z]|.)", re.DOTALL)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)
LETTERS = {  # identifiers
    "beta": "β", "varepsilon": "ε", "mu": "μ", "sigma": "σ", "Sigma": "Σ", "phi": "φ", "rho": "ρ", "infty": "∞",
}  # fmt: skip
OPERATORS = {
    "ge": "≥", "le": "≤", "ne": "≠", "approx": "≈", "iff": "⟺", "cdot": "·", "to": "→", "leftarrow": "←",
    "int": "∫", "sum": "∑", "prod": "∏",
}  # fmt: skip
FUNCTIONS = ("ln", "max", "det", "tr", "diag", "KL", "clamp", "sign")
SPACES = {",": "0.17em", "quad": "1em"}
SCRIPT = {"E": "𝔼", "L": "ℒ"}  # an expectation, and the note's objective
LARGE = {"∑", "∏"}  # in a display, their limits are above and below
FENCES = "()[]"
BEFORE_A_SIGN = (",", "(", "[", "=", "{", "_", "^", "\\quad", "\\ne", "&")  # a minus after them belongs to one number
BEFORE_NO_SPACE = ("(", "_", "^", "=", "\\left", "\\to")  # after a function
THIN = '<mspace width="0.17em"></mspace>'
APPLY = "\u2061"  # between a function and what it is applied to; not seen, but spaced and read aloud


def with_formulas(text: str) -> Markup:
    """HTML whose formulas, LaTeX between `$` in a line of text or between `$$` by themselves, have become MathML."""
    found = FORMULA.sub(lambda match: mathml(match[1] or match[2], display=match[1] is not None), text)
    return Markup(found)


def mathml(latex: str, *, display: bool = False) -> Markup:
    r"""The element `math` of a formula.

    Args:
        latex: the formula. `\\` begins a new line, and `&` aligns the lines.
        display: whether it stands by itself instead of in a line of text.

    Raises:
        ValueError: the formula has a command that is not known, or braces that do not match.

    Example:
        >>> mathml(r"\sigma^2")
        Markup('<math><msup><mi>σ</mi><mn>2</mn></msup></math>')
    """
    rows = [[Reader(cell).whole() for cell in re.split(r"(?<!\\)&", row)] for row in re.split(r"\\\\", latex)]
    attribute = ' display="block"' if display else ""
    if len(rows) == 1 and len(rows[0]) == 1:
        return Markup(f"<math{attribute}>{rows[0][0]}</math>")
    lines = "".join(f"<mtr>{''.join(f'<mtd>{cell}</mtd>' for cell in row)}</mtr>" for row in rows)
    return Markup(f'<math{attribute}><mtable class="lines" displaystyle="true">{lines}</mtable></math>')


class Reader:
    """Reads one line of a formula from left to right."""

    def __init__(self, latex: str) -> None:
        self.latex = latex
        self.tokens: list[str] = TOKEN.findall(latex.strip())
        self.at = 0

    def whole(self) -> str:
        """The MathML of all tokens."""
        found = "".join(self.parts(until=None))
        if self.at != len(self.tokens):
            raise ValueError(f"braces must match in a formula, got {self.latex}")
        return found

    def parts(self, until: str | None) -> Iterator[str]:
        """The elements up to a closing token, which is taken too."""
        while self.at < len(self.tokens):
            if self.tokens[self.at] == until:
                self.at += 1
                return
            if self.tokens[self.at] == "}":
                return
            yield self.scripted()
        if until is not None:
            raise ValueError(f"{until} is missing in a formula, got {self.latex}")

    def scripted(self) -> str:
        """An element with what is written below and above it."""
        base = self.element()
        scripts = {}
        while self.at < len(self.tokens) and self.tokens[self.at] in ("_", "^"):
            place = self.take()
            scripts[place] = self.element()
        if not scripts:
            return base
        large = any(base == f"<mo>{mark}</mo>" for mark in LARGE)
        kinds = {"_": "munder", "^": "mover", "_^": "munderover"} if large else {}
        kinds = kinds or {"_": "msub", "^": "msup", "_^": "msubsup"}
        kind = kinds["".join(place for place in "_^" if place in scripts)]
        return f"<{kind}>{base}{''.join(scripts[place] for place in '_^' if place in scripts)}</{kind}>"

    def element(self) -> str:
        """The next symbol, group or command."""
        token = self.take()
        if token == "{":
            return row(self.parts(until="}"))
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token in FENCES:
            return f'<mo stretchy="false">{token}</mo>'
        if token == "|":  # "given"
            return '<mo form="infix" stretchy="false" lspace="0.1em" rspace="0.1em">|</mo>'
        if token == "-":
            unary = self.at < 2 or self.tokens[self.at - 2] in BEFORE_A_SIGN
            return '<mo form="prefix">−</mo>' if unary else "<mo>−</mo>"
        return f"<mo>{escape(token)}</mo>"

    def command(self, name: str) -> str:
        """What stands for a command and its arguments."""
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in OPERATORS:
            return f"<mo>{OPERATORS[name]}</mo>"
        if name in FUNCTIONS:
            apart = "" if self.at < len(self.tokens) and self.tokens[self.at] in BEFORE_NO_SPACE else THIN
            before = THIN if self.at > 1 and self.tokens[self.at - 2] in ")]}" else ""
            return f"<mrow>{before}<mi>{name}</mi><mo>{APPLY}</mo>{apart}</mrow>"
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"></mspace>'
        match name:
            case "|":
                return '<mo form="infix" stretchy="false" lspace="0.2em" rspace="0.2em">‖</mo>'
            case "frac":
                return f"<mfrac>{self.element()}{self.element()}</mfrac>"
            case "text":
                return f"<mtext>{escape(self.words())}</mtext>"
            case "mathbf" | "mathcal":
                return f'<mi mathvariant="normal">{SCRIPT[self.words()]}</mi>'
            case "term":
                name, content = self.words(), self.element()
                return f'<mrow class="term-{escape(name)}">{content}</mrow>'
            case "big":  # a bracket whose partner is on another line
                return f'<mo symmetric="true" stretchy="true" minsize="2.2em" maxsize="2.2em">{self.take()}</mo>'
            case "left":
                opening, inner, closing = self.take(), "".join(self.parts(until="\\right")), self.take()
                return f"<mrow><mo>{opening}</mo>{inner}<mo>{closing}</mo></mrow>"
        raise ValueError(f"\\{name} is not known in a formula. Add it to vae/pages/mathml.py")

    def words(self) -> str:
        """The text of the next group. Tokens have lost their spaces, so `~` stands for one."""
        found = []
        if self.take() != "{":
            raise ValueError(f"text must stand in braces in a formula, got {self.latex}")
        while (token := self.take()) != "}":
            found.append(token)
        return "".join(found).replace("~", "\u00a0")

    def take(self) -> str:
        """The next token."""
        if self.at == len(self.tokens):
            raise ValueError(f"the formula ends too early, got {self.latex}")
        self.at += 1
        return self.tokens[self.at - 1]


def row(parts: Iterator[str]) -> str:
    """One element of several."""
    found = list(parts)
    return found[0] if len(found) == 1 else f"<mrow>{''.join(found)}</mrow>"
