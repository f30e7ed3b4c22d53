//! Model cards, rendered from Markdown to the HTML that the page inserts.
//!
//! Nothing in a card becomes script, style or markup of its own: raw HTML is shown as text, images are their words, and
//! only links to `https://` are links. So the result is safe to insert, and the page's Content-Security-Policy stays.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// Writes `NAME.html` beside each `NAME.md` of a folder.
pub fn render_all(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let card = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let path = path.with_extension("html");
            fs::write(&path, render(&card)).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// A card as HTML, for a place below a heading of the third level.
fn render(markdown: &str) -> String {
    let mut html = String::new();
    let mut links = Vec::new();
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| page_event(event, &mut links));
    html::push_html(&mut html, events);
    // These can only be markup: `<` in a text is escaped.
    html.replace("<table>", "<div class=\"scroll\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>")
        .replace("<th>", "<th scope=\"col\">")
}

/// What the page shows for an event. `links` has an entry for each open link: whether it is one on the page, too.
fn page_event<'a>(event: Event<'a>, links: &mut Vec<bool>) -> Event<'a> {
    let tag = |html: &'static str| Event::Html(html.into());
    match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Heading { level, .. }) => tag(if level == HeadingLevel::H1 { "<h4>" } else { "<h5>" }),
        Event::End(TagEnd::Heading(level)) => tag(if level == HeadingLevel::H1 { "</h4>\n" } else { "</h5>\n" }),
        // What scrolls is focusable, so that the arrow keys scroll it.
        Event::Start(Tag::CodeBlock(_)) => tag("<pre tabindex=\"0\">"),
        Event::End(TagEnd::CodeBlock) => tag("</pre>\n"),
        // A column's alignment would be an inline style.
        Event::Start(Tag::Table(_)) => Event::Start(Tag::Table(Vec::new())),
        Event::Start(Tag::Link { dest_url, .. }) => {
            links.push(dest_url.starts_with("https://"));
            let mut url = String::new();
            // Writing to a string cannot fail.
            let _ = pulldown_cmark_escape::escape_href(&mut url, &dest_url);
            match links.last() {
                Some(true) => Event::Html(format!("<a href=\"{url}\" rel=\"external noopener\">").into()),
                _ => tag(""),
            }
        }
        Event::End(TagEnd::Link) => tag(if links.pop() == Some(true) { "</a>" } else { "" }),
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => tag(""),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_becomes_html() {
        let card = "# Card\n\nTwo\n*lines*, **please**.\n\n| a | b |\n| --- | --: |\n| 1 | `2` |\n\n\
            - one\n  more\n- two\n\n```sh\n# run\n```\n## End";
        let html = "<h4>Card</h4>\n<p>Two\n<em>lines</em>, <strong>please</strong>.</p>\n\
            <div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">a</th>\
            <th scope=\"col\">b</th></tr></thead><tbody>\n<tr><td>1</td><td><code>2</code></td></tr>\n</tbody></table></div>\n\
            <ul>\n<li>one\nmore</li>\n<li>two</li>\n</ul>\n<pre tabindex=\"0\"># run\n</pre>\n<h5>End</h5>\n";
        assert_eq!(render(card), html);
    }

    #[test]
    fn only_links_to_other_pages_become_links() {
        let link = "<p><a href=\"https://nih.example/?a&amp;b\" rel=\"external noopener\">NIH</a></p>\n";
        assert_eq!(render("[NIH](https://nih.example/?a&b)"), link);
        for script in ["[x](javascript:alert(1))", "[x](http://nih.example)", "![x](https://nih.example/x.png)"] {
            assert_eq!(render(script), "<p>x</p>\n", "{script}");
        }
    }

    #[test]
    fn raw_html_is_shown_as_text() {
        for raw in
            ["<script>alert(1)</script>", "a <b onclick=\"x()\">b</b>", "<div>\n\n<img src=x onerror=y>\n\n</div>"]
        {
            let html = render(raw);
            assert!(!["<script", "<b ", "<div", "<img"].iter().any(|tag| html.contains(tag)), "{html}");
            assert!(html.contains("&lt;"), "{html}");
        }
    }

    #[test]
    fn shipped_cards_need_no_exception_from_the_policy() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/weights");
        let mut cards = 0;
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let html = render(&fs::read_to_string(&path).expect("a card"));
                assert!(
                    html.contains("<h4>") && html.contains("<table>") && html.contains("NIH"),
                    "{}",
                    path.display()
                );
                assert!(!html.contains(" style=") && !html.contains("<script"), "{}", path.display());
                cards += 1;
            }
        }
        assert!(cards > 0);
    }
}
