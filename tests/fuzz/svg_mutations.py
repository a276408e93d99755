"""SVG files made by chance: elements, attributes and values, sound ones among those that lie."""

import random

from drawing_mutations import WORDS

NUMBERS = (
    "0", "-0", "1", "-1", "1e999", "-1e999", "1e308", "-1e308", "1e-320", "5e-324", "1e40", "1e12", "1e13", "NaN",
    "inf", "Infinity", "-inf", "1e", "1e+", "--1", "+1", ".", "-.5", "1.2.3", "0x10", "1_000", "٣", "１", "½", "²",
    "9" * 400, "9" * 5000, "0." + "0" * 400 + "1", "1e99999999999", "1e-99999999999", "100%", "-50%", "1e999%", "%",
    "1px", "2cm", "3q", "1e3em", "1 2", "1,2", "", " ", "auto", "none", "inherit", "calc(1px)", "var(--x)", "url(#a)",
)  # fmt: skip
PATHS = (
    "", "M", "Z", "z", "M0", "M0 0", "M0 0Z", "L1 1", "zz", "M0 0zzzz", "M1 1M2 2M3 3", "m1 1 1 1 1",
    "M0 0L1 1 x 5 5", "M0 0A", "M0 0A1 1 0 2 0 5 5", "M0 0A1 1 0 0 0 0 0", "M0 0A0 0 0 0 0 5 5",
    "M0 0A1e200 1e200 0 0 0 5 5", "M0 0A1e-200 1e-200 0 1 1 5 5", "M0 0A1 1e300 45 0 1 5 5", "M0 0A1 1 1e999 0 0 5 5",
    "M0 0A1 1 1e308 0 0 5 5", "M0 0A-1 -1 0 0 0 5 5", "M0 0a1 1 0 0110 0", "M0 0a1 1 0 1e5 0 5 5",
    "M0 0A5 5 0 1 1 1e-300 0", "M0 0H1e999", "M0 0Q5e-324 0 0 5e-324", "M0 0C1e308 0-1e308 0 1 1",
    "M1e12 1e12l1e-5 0", "M0 0T5 5T9 9", "M0 0S5 5 9 9", "M0 0QZ", "M0 0h5e-324", "M0 0C0 0 0 0 0 0", "M0 0Q0 0 0 0",
    "M0,,0L1,,1", "M0 0L1e5e5 1", "M0 0L1 1#", "M0 0L１ ２", "none", "M0 0" + "h1" * 3000,
    "M0 0" + "a1 1 0 0 0 1 1" * 1000, "M0 0L" + "1 1 " * 3000, "M" * 500, "M0 0" + "z" * 3000,
    "M0 0A1 1 0 0 1 1e-9 1e-9", "M0 0a1099511627776 1099511627776 0 0 1 1e-3 0", "M0 0A9 9 0 0 1 NaN 5",
    "M0 0\x0bL1 1",
)  # fmt: skip
TRANSFORMS = (
    "none", "", "translate(1)", "translate(1 2)", "scale(0)", "scale(0 1)", "scale(1e308)", "scale(1e-308)",
    "rotate(45)", "rotate(1e308)", "rotate(45 1e308 1e308)", "skewX(90)", "skewY(-90)", "skewX(1e308)",
    "matrix(1 0 0 1 0 0)", "scale(-1)", "matrix(0 0 0 0 0 0)", "matrix(1e200 1e200 1e200 1e200 0 0)", "matrix(1 2 3)",
    "translate(1e999)", "translate(,)", "translate(1) scale(2) rotate(3)", "translate(1),,scale(2)", "foo(1)",
    "translate", "translate(", ")", "scale(1e200)" * 3, "translate(1)" * 500, "perspective(1)", "rotate(1deg)",
    "translate(1px, 2px)", "rotate(1turn)", "scale(٣)", "a" * 3000,
)  # fmt: skip
REFERENCES = (
    "#a", "#b", "#c", "#", "", "a", "#missing", "file:///etc/passwd", "/etc/passwd", "../../etc/passwd#a",
    "other.svg#a", "http://127.0.0.1:9/x.svg#a", "https://example.org/#a", "data:image/svg+xml,<svg/>",
    "ftp://127.0.0.1/", "#a#b", "# a", "javascript:alert(1)", "\\\\host\\share", "url(#a)", "xpointer(id('a'))",
    "jar:file:///x!/y", "expect://id",
)  # fmt: skip
STYLES = (
    "fill:none", "stroke:red", "fill:none;stroke:none", "display:none", "visibility:hidden", "opacity:0",
    "opacity:1e999", "stroke-width:0", "stroke-width:x", "fill:url(#a)", "fill:url(http://127.0.0.1:9/)",
    "d:path('M0 0L1 1')", ";;;:::", ":", "transform:rotate(45)", "transform-origin:1px 2px", "x:1e999", "width:-5",
    "mask:url(#b)", "clip-path:url(#a)", "a" * 999, "fill:red!important", "FILL:NONE", "fill:\\6e one", "/*",
    "fill:/**/none", "r:5", "rx:-1", "stroke-opacity:0%", "x:y:z",
)  # fmt: skip
SHEETS = (
    "*{fill:none}", ".a{stroke:red}", "#a{display:none}", "path{d:none}", "a{b", "}}}}", "{{{{", "/*", "/*/*/*",
    "@import url(x)", "@import 'http://127.0.0.1:9/x.css';*{x:1}", "@media print{*{fill:none}}", "a b>c{}",
    "*{transform:scale(1e308)}", "@", ",", "a,b,c,.a.b.c#d#e{fill:red;stroke:blue}", "." * 500, ".a" * 500 + "{}",
    "a" * 5000 + "!{}", "[a=b]{}", "::x{}", "*" * 99,
)  # fmt: skip
DOCTYPES = (
    "", '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">',
    '<!DOCTYPE svg SYSTEM "file:///etc/passwd">', '<!DOCTYPE svg SYSTEM "http://127.0.0.1:9/x.dtd">',
    '<!DOCTYPE svg [<!ENTITY a "M0 0L9 9">]>',
    '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
    '<!DOCTYPE svg [<!ENTITY a "&b;"><!ENTITY b "&a;">]>', '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE svg [<!ENTITY a SYSTEM "http://127.0.0.1:9/">]>',
    '<!DOCTYPE svg [<!ENTITY a PUBLIC "x" "file:///etc/hostname">]>',
    '<!DOCTYPE svg [<!ENTITY % a SYSTEM "file:///etc/passwd">%a;]>',
    "<!DOCTYPE svg [<!ENTITY % a \"<!ENTITY b 'x'>\">%a;]>",
    '<!DOCTYPE svg [<!ENTITY a SYSTEM "x" NDATA gif><!NOTATION gif SYSTEM "y">]>',
    '<!DOCTYPE svg [<!ATTLIST path d CDATA "M0 0L9 9" stroke CDATA #FIXED "red">]>',
    "<!DOCTYPE svg [<!ELEMENT svg (svg*)*><!ATTLIST svg id ID #IMPLIED>]>",
    '<!DOCTYPE svg [<!ENTITY a "&#60;path/>">]>', "<!DOCTYPE svg [<!ENTITY " + "a" * 3000 + ' "x">]>',
    "<!DOCTYPE html>", "<!DOCTYPE",
)  # fmt: skip
ENCODINGS = (
    *("latin1", "utf-16", "utf-7", "cp1252", "zlib_codec", "rot13", "idna", "punycode", "unicode_escape", "undefined"),
    *("cp037", "x", "big5", "../../x", "mbcs", "hex", "utf-8-sig", "os", "ascii"),
)
PROLOGUES = (
    *("", '<?xml version="1.0"?>', '<?xml version="1.1"?>', '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'),
    *(f'<?xml version="1.0" encoding="{name}"?>' for name in ENCODINGS),
    *('<?xml-stylesheet href="http://127.0.0.1:9/x.css"?>', "<?php system('true') ?>", "\ufeff", "\x00"),
    *("<!-- x -->", " "),
)
KINDS = (
    "svg", "g", "path", "path", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "use", "use",
    "symbol", "defs", "a", "switch", "text", "image", "foreignObject", "style", "script", "clipPath", "mask", "x:y",
    "title", "猫",
)  # fmt: skip
ATTRIBUTES = (
    "d", "points", "transform", "href", "xlink:href", "style", "class", "id", "x", "y", "width", "height", "rx", "ry",
    "cx", "cy", "r", "x1", "y1", "x2", "y2", "viewBox", "preserveAspectRatio", "fill", "stroke", "stroke-width",
    "display", "visibility", "opacity", "transform-origin", "xmlns", "xmlns:x", "xml:base", "requiredExtensions",
    "onload", "é", "mask",
)  # fmt: skip
HOSTILE = (
    *NUMBERS, *PATHS, *TRANSFORMS, *REFERENCES, *STYLES, *SHEETS, *DOCTYPES, *WORDS, "<", ">", '"', "&a;", "&b;",
    "&c;",
)  # fmt: skip


def quoted(text: str) -> str:
    """As the value of an attribute; entities stay what they are."""
    text = "".join(letter for letter in text if letter >= " " or letter in "\t\n\r")
    return text.replace("<", "&lt;").replace('"', "&quot;").encode(errors="replace").decode()


def value(rng: random.Random, name: str) -> str:
    """Of an attribute: what might stand there, or now and then what might stand elsewhere."""
    if rng.random() < 0.03:
        return rng.choice(HOSTILE)
    match name:
        case "d":
            if rng.random() < 0.2:
                return rng.choice(PATHS)
            sizes = {"H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "Z": 0}
            steps = ["M0 0"]
            for command in rng.choices("MLHVCSQTZ", k=rng.randint(1, 6)):
                count = sizes.get(command, 2) if rng.random() < 0.98 else rng.randrange(9)
                steps.append(rng.choice((command, command.lower())) + " ".join(few(rng, count, exactly=True)))
            arc = f"a{rng.uniform(0, 9):.3g} 5 {rng.choice('059')} 0{rng.randint(0, 1)}3 {rng.choice('0147')}"
            return "".join([*steps, arc if rng.random() < 0.3 else ""])
        case "points":
            return rng.choice((" ", ",", ", ")).join(few(rng, rng.choice((2, 4, 6, 8, 9)), exactly=True))
        case "viewBox":
            sound = [f"{rng.uniform(-9, 9):.3g}", "0", "50", f"{rng.uniform(1, 99):.3g}"]
            return " ".join(sound if rng.random() < 0.9 else few(rng, 6))
        case "width" | "height" | "r" | "rx" | "ry" if rng.random() < 0.9:
            return f"{rng.uniform(0, 50):.3g}"
        case "transform-origin" | "xmlns" | "xmlns:x" if rng.random() < 0.8:
            return "http://www.w3.org/2000/svg"
        case "transform":
            return rng.choice(
                TRANSFORMS if rng.random() < 0.4 else ("translate(1 2)", "scale(2)", "rotate(45)", "scale(1,-1)")
            )
        case "href" | "xlink:href":
            return rng.choice(REFERENCES[:4]) if rng.random() < 0.7 else rng.choice(REFERENCES)
        case "style":
            return ";".join(rng.choices(STYLES, k=rng.randint(1, 3)))
        case "class" | "id":
            return rng.choice("abcd")
        case "preserveAspectRatio":
            return rng.choice(("none", "xMidYMid", "xMinYMax slice", "defer xMidYMid meet", "x", "xMidYMid " * 99))
        case "fill" | "stroke" | "mask":
            return rng.choice(
                ("none", "red", "#abc", "transparent", "url(#a)", "inherit", "rgb(1,2,3)", "currentColor")
            )
        case "xmlns" | "xmlns:x":
            return rng.choice(("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "", "x", "u" * 2000))
    return rng.choice(NUMBERS) if rng.random() < 0.1 else few(rng, 1)[0]


def few(rng: random.Random, most: int, *, exactly: bool = False) -> list[str]:
    """Numbers, now and then odd ones."""
    count = most if exactly else rng.randint(1, most)
    return [rng.choice(NUMBERS) if rng.random() < 0.015 else f"{rng.uniform(-99, 99):.4g}" for _ in range(count)]


def element(rng: random.Random, depth: int) -> str:
    """An element with what is inside."""
    kind = rng.choice(KINDS if depth else ("svg", "g", "g", "symbol", "defs"))
    likely = {"path": ["d"], "use": ["href"], "polyline": ["points"], "polygon": ["points"], "circle": ["r"]}
    likely |= {"rect": ["width", "height"], "ellipse": ["rx", "ry"], "line": ["x1", "y2", "stroke"], "svg": ["viewBox"]}
    names = dict.fromkeys([*likely.get(kind, ()), *rng.choices(ATTRIBUTES, k=rng.choice((0, 0, 1, 1, 2, 4)))])
    attributes = "".join(f' {name}="{quoted(value(rng, name))}"' for name in names)
    if kind == "style":
        inside = quoted("".join(rng.choices(SHEETS, k=rng.randint(1, 4))))
    elif depth < 6 and kind in ("svg", "g", "a", "switch", "symbol", "defs", "use", "clipPath"):
        inside = "".join(element(rng, depth + 1) for _ in range(rng.choice((0, 1, 1, 2, 3))))
    else:
        odd = rng.random() < 0.03
        inside = rng.choice(
            ("&a;", "&c;", "&#0;") if odd else ("", "", "", "text", "<![CDATA[x]]>", "<!-- x -->", "<?x?>")
        )
    close = f"</{kind}>" if rng.random() < 0.999 else ""
    return f"<{kind}{attributes}>{inside}{close}"


def built(rng: random.Random) -> str:
    """A file made of elements by chance."""
    prologue = rng.choice(PROLOGUES) if rng.random() < 0.06 else ""
    doctype = rng.choice(DOCTYPES) if rng.random() < 0.08 else ""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:x="x"'
    size = rng.choice(
        ("", "", 'width="9" height="9"', 'viewBox="0 0 9 9"', f'viewBox="{quoted(value(rng, "viewBox"))}"')
    )
    inside = "".join(element(rng, 1) for _ in range(rng.randint(1, 6)))
    return f'{prologue}{doctype}<svg {spaces} {size}><path d="M0 0L5 9" stroke="red"/>{inside}</svg>'
