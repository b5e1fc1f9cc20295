"""The shop's pages as HTML, with the elements by which agents read the original's pages."""

from html import escape

from leap_exp.envs.webshop.engine.pages import Page, Role


def as_html(page: Page) -> str:
    """Return ``page`` as HTML.

    Its visible texts, read in order by an HTML parser, are those of the page. As in the original, the instruction is an
    ``h4`` in the element ``instruction-text``, the search bar is the element ``search_input``, buttons have the class
    ``btn``, products the class ``product-link``, and option values are radio buttons with labels.
    """
    parts = []
    texts = [piece.text for piece in page.pieces]
    place = 0
    while place < len(texts):
        if texts[place] in ("Instruction:", "Instruction: ") and place + 1 < len(texts):
            lines = f"{escape(texts[place])}<br>{escape(texts[place + 1])}"
            parts.append(f'<div id="instruction-text"><h4>{lines}</h4></div>')
            place += 2
            continue
        parts.append(_element(page, place))
        place += 1
    bar = '<input id="search_input" type="text" name="search_query">' if page.has_search_bar else ""
    return f"<!DOCTYPE html><html><body>{''.join(parts)}{bar}</body></html>"


def _element(page: Page, place: int) -> str:
    role, text = page.pieces[place]
    shown, value = escape(text), escape(text, quote=True)
    if role is Role.BUTTON:
        return f'<button class="btn" type="submit">{shown}</button>'
    if role is Role.LINK:
        return f'<a class="product-link" href="#{value}">{shown}</a>'
    if role is Role.OPTION:
        name = escape(page.option_names[text], quote=True)
        return (
            f'<input type="radio" id="option_{place}" name="{name}" value="{value}">'
            f'<label for="option_{place}">{shown}</label>'
        )
    return f"<p>{shown}</p>"
