//! The little Markdown that a model card is written in, as data: headings, paragraphs, lists, tables, code.
//!
//! What it does not know stays text, so that nothing in a card becomes markup.

/// A block of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A heading of level 1 to 6.
    Heading(u8, Vec<Span>),
    /// A paragraph.
    Paragraph(Vec<Span>),
    /// A list's points.
    List(Vec<Vec<Span>>),
    /// A table's rows of cells; the first row holds the headings.
    Table(Vec<Vec<Vec<Span>>>),
    /// Code, line by line as it stands.
    Code(String),
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Words.
    Text(String),
    /// Words to be seen.
    Strong(String),
    /// Words to be heard differently, such as a title.
    Emphasis(String),
    /// Code.
    Code(String),
    /// A link to another page.
    Link {
        /// What it says.
        text: String,
        /// Where it leads; always `https://`.
        url: String,
    },
}

/// Reads a card.
///
/// ```
/// use web::markdown::{Block, Span, parse};
/// let text = |words: &str| vec![Span::Text(words.into())];
/// assert_eq!(parse("# Card\n\nWords."), [Block::Heading(1, text("Card")), Block::Paragraph(text("Words."))]);
/// ```
pub fn parse(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        let hashes = trimmed.bytes().take_while(|&c| c == b'#').count();
        if trimmed.is_empty() {
            continue;
        } else if trimmed.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
            blocks.push(Block::Code(code.join("\n")));
        } else if (1..=6).contains(&hashes) && trimmed[hashes..].starts_with(' ') {
            blocks.push(Block::Heading(hashes as u8, spans(trimmed[hashes..].trim())));
        } else if trimmed.starts_with('|') {
            let mut rows = vec![cells(trimmed)];
            while let Some(row) = lines.next_if(|line| line.trim_start().starts_with('|')) {
                if !row.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) {
                    rows.push(cells(row));
                }
            }
            blocks.push(Block::Table(rows));
        } else if let Some(point) = point(trimmed) {
            let mut points = vec![point.to_owned()];
            while let Some(more) = lines.next_if(|line| !line.trim().is_empty()) {
                match (self::point(more.trim()), points.last_mut()) {
                    (None, Some(last)) => *last = format!("{last} {}", more.trim()),
                    (other, _) => points.extend(other.map(str::to_owned)),
                }
            }
            blocks.push(Block::List(points.iter().map(|point| spans(point)).collect()));
        } else {
            let mut paragraph = trimmed.to_owned();
            let goes_on = |line: &&str| !line.trim().is_empty() && !line.starts_with(['#', '|', '`']);
            while let Some(more) = lines.next_if(goes_on) {
                paragraph = format!("{paragraph} {}", more.trim());
            }
            blocks.push(Block::Paragraph(spans(&paragraph)));
        }
    }
    blocks
}

fn point(line: &str) -> Option<&str> {
    line.strip_prefix("- ").or_else(|| line.strip_prefix("* "))
}

fn cells(row: &str) -> Vec<Vec<Span>> {
    row.trim().trim_matches('|').split('|').map(|cell| spans(cell.trim())).collect()
}

fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match marked(rest) {
            Some((span, after)) => {
                if !plain.is_empty() {
                    spans.push(Span::Text(std::mem::take(&mut plain)));
                }
                spans.push(span);
                rest = after;
            }
            None => {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    if !plain.is_empty() {
        spans.push(Span::Text(plain));
    }
    spans
}

/// The span that starts here with a mark, and what follows it.
fn marked(text: &str) -> Option<(Span, &str)> {
    if let Some(code) = text.strip_prefix('`') {
        let (code, after) = code.split_once('`')?;
        return Some((Span::Code(code.to_owned()), after));
    }
    if let Some(strong) = text.strip_prefix("**") {
        let (strong, after) = strong.split_once("**")?;
        return Some((Span::Strong(strong.to_owned()), after));
    }
    if let Some(emphasis) = text.strip_prefix('*') {
        let (emphasis, after) = emphasis.split_once('*')?;
        return Some((Span::Emphasis(emphasis.to_owned()), after)).filter(|_| !emphasis.starts_with(' '));
    }
    let (words, after) = text.strip_prefix('[')?.split_once("](")?;
    let (url, after) = after.split_once(')')?;
    let plain = !words.contains(['[', ']']) && url.starts_with("https://");
    plain.then(|| (Span::Link { text: words.to_owned(), url: url.to_owned() }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &str) -> Vec<Span> {
        vec![Span::Text(words.into())]
    }

    #[test]
    fn blocks_are_told_apart() {
        let card =
            "Two\nlines.\n\n| a | b |\n| --- | --- |\n| 1 | `2` |\n\n- one\n  more\n- two\n\n```sh\n# run\n```\n## End";
        let expected = [
            Block::Paragraph(text("Two lines.")),
            Block::Table(vec![vec![text("a"), text("b")], vec![text("1"), vec![Span::Code("2".into())]]]),
            Block::List(vec![text("one more"), text("two")]),
            Block::Code("# run".into()),
            Block::Heading(2, text("End")),
        ];
        assert_eq!(parse(card), expected);
    }

    #[test]
    fn only_links_to_other_pages_become_links() {
        let link = Span::Link { text: "NIH".into(), url: "https://nih.example/".into() };
        let expected = [Span::Text("See ".into()), link, Span::Text(", ".into()), Span::Strong("please".into())];
        assert_eq!(spans("See [NIH](https://nih.example/), **please**"), expected);
        for plain in ["[x](javascript:alert(1))", "<b>bold</b>", "2 * 3 * 4", "a ` b", "[open", "**open"] {
            assert_eq!(spans(plain), text(plain), "{plain}");
        }
    }

    #[test]
    fn the_card_of_the_shipped_weights_is_read() {
        let blocks = parse(include_str!("../weights/paper.md"));
        assert!(blocks.iter().filter(|block| matches!(block, Block::Heading(..))).count() >= 4);
        assert!(blocks.iter().any(|block| matches!(block, Block::Table(rows) if rows.len() >= 3)));
    }
}
