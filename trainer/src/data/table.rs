//! Tables as people have them: CSV as scripts, archives and Excel write it.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// A table with a header.
pub struct Table {
    /// The names of its columns.
    pub columns: Vec<String>,
    text: String,
}

/// A row.
pub struct Row<'a> {
    /// Its first line in the file, from 1.
    pub line: usize,
    cells: Vec<Cow<'a, str>>,
}

impl Row<'_> {
    fn is_empty(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim().is_empty())
    }
}

impl Table {
    /// Reads a table with commas, semicolons or tabs between cells, in any encoding that [`text`] knows.
    ///
    /// # Errors
    /// A column is missing, a quote is left open, or a row has fewer or more cells than the header.
    pub fn read(path: &Path, needed: &[&str], accepted: &str) -> Result<Self> {
        let text = text(path)?;
        let mut records = records(&text).map(|row| row.with_context(|| format!("cannot read {}", path.display())));
        let header = records.find(|row| row.as_ref().map_or(true, |row| !row.is_empty())).transpose()?;
        let header = header.with_context(|| format!("{} is empty: {accepted}", path.display()))?;
        let mut columns: Vec<String> = header.cells.iter().map(|name| name.trim().to_owned()).collect();
        while columns.pop_if(|name| name.is_empty()).is_some() {}
        for column in needed {
            ensure!(
                columns.iter().any(|c| c.eq_ignore_ascii_case(column)),
                "{} has no column `{column}`: it has {}; {accepted}",
                path.display(),
                columns.iter().filter(|c| !c.is_empty()).map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
            );
        }
        for row in records {
            let row = row?;
            let beyond = row.cells.iter().skip(columns.len()).any(|cell| !cell.trim().is_empty());
            ensure!(
                row.is_empty() || row.cells.len() >= columns.len() && !beyond,
                "{} line {} has {} cells, where the header names {}: is a quote or a separator missing?",
                path.display(),
                row.line,
                row.cells.len(),
                columns.len()
            );
        }
        Ok(Self { columns, text })
    }

    /// Its rows that are not empty. They are read anew, since a million of them would take many times the file's memory.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        records(&self.text).filter_map(Result::ok).filter(|row| !row.is_empty()).skip(1)
    }

    /// The place of the first column that has one of these names.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.columns.iter().position(|c| c.eq_ignore_ascii_case(name)))
    }

    /// The cell of a row under one of these names, if it is not empty.
    pub fn value<'a>(&self, row: &'a Row, names: &[&str]) -> Option<&'a str> {
        row.cells.get(self.column(names)?).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
    }
}

/// The text of a file in UTF-8, UTF-16 or else Latin-1, without a byte order mark, its lines ended by LF.
///
/// # Errors
/// The file cannot be read.
pub fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let wide = |of: fn([u8; 2]) -> u16| -> String {
        let units = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    // The first character of a table is one of ASCII.
    let mut text = match bytes[..] {
        [0xff, 0xfe, ..] | [_, 0, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, _, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()),
    };
    let marks = text.len() - text.trim_start_matches('\u{feff}').len();
    text.drain(..marks);
    if !text.contains('\r') {
        return Ok(text);
    }
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let ends = if line.ends_with("\r\n") { line.len() - 2 } else { line.len() };
        lines.extend(line[..ends].chars().map(|c| if c == '\r' { '\n' } else { c }));
        lines.push_str(&line[ends..].replace('\r', ""));
    }
    Ok(lines)
}

/// The rows of a text by RFC 4180, read strictly: a quote that is left open would take the rest of the file for one cell.
fn records(text: &str) -> Records<'_> {
    let (header, rest) = text.split_once('\n').unwrap_or((text, ""));
    let often = |separator: &char| header.matches(*separator).count();
    // Excel's own line, or else what the header has most of; commas where there is none.
    match header.strip_prefix("sep=").and_then(|named| named.chars().next()) {
        Some(separator) => Records { rest, separator, line: 2 },
        None => {
            let separator = [';', '\t', ','].into_iter().max_by_key(often).unwrap_or(',');
            Records { rest: text, separator, line: 1 }
        }
    }
}

/// What is left of a text.
struct Records<'a> {
    rest: &'a str,
    separator: char,
    /// Of the file, from 1.
    line: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Row<'a>>;

    /// The next row; nothing after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let row = self.row();
        if row.is_err() {
            self.rest = "";
        }
        Some(row)
    }
}

impl<'a> Records<'a> {
    fn row(&mut self) -> Result<Row<'a>> {
        let mut row = Row { line: self.line, cells: Vec::new() };
        loop {
            row.cells.push(if self.rest.starts_with('"') { self.quoted()? } else { Cow::Borrowed(self.until_end()) });
            match self.rest.strip_prefix(self.separator) {
                Some(rest) => self.rest = rest,
                None => break,
            }
        }
        if let Some(rest) = self.rest.strip_prefix('\n') {
            self.line += 1;
            self.rest = rest;
        }
        Ok(row)
    }

    /// What comes before the next separator or end of a line.
    fn until_end(&mut self) -> &'a str {
        let separator = self.separator;
        let end = self.rest.find([separator, '\n']).unwrap_or(self.rest.len());
        let (cell, rest) = self.rest.split_at(end);
        self.rest = rest;
        cell
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>> {
        let (opened, inside) = (self.line, &self.rest[1..]);
        let mut end = 0;
        loop {
            let Some(found) = inside[end..].find('"') else { bail!("line {opened} opens a quote that nothing closes") };
            end += found;
            if !inside[end + 1..].starts_with('"') {
                break;
            }
            end += 2;
        }
        let cell = &inside[..end];
        self.line += cell.matches('\n').count();
        self.rest = &inside[end + 1..];
        ensure!(
            self.until_end().bytes().all(|byte| byte == b' '),
            "line {opened} opens a quote that is not closed at the end of a cell"
        );
        Ok(if cell.contains('"') { Cow::Owned(cell.replace("\"\"", "\"")) } else { Cow::Borrowed(cell) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Table> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), bytes)?;
        Table::read(file.path(), &["path"], "a path is needed")
    }

    #[test]
    fn tables_of_spreadsheets_are_the_same_table() {
        let plain = "path,label\na.png,\"left, up\"\nb.png,x\n";
        let wide = |of: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            format!("{mark}{plain}").encode_utf16().flat_map(of).collect()
        };
        for bytes in [
            plain.into(),
            format!("\u{feff}{}", plain.replace('\n', "\r\n")).into_bytes(),
            plain.replace('\n', "\r").into_bytes(),
            plain.replace("a.png,", "a.png;").replace("path,", "path;").replace("b.png,", "b.png;").into_bytes(),
            plain.replace("a.png,", "a.png\t").replace("path,", "path\t").replace("b.png,", "b.png\t").into_bytes(),
            format!("sep=,\n{plain}").into_bytes(),
            format!("{plain},\n,,\n\n").into_bytes(),
            wide(u16::to_le_bytes, "\u{feff}"),
            wide(u16::to_be_bytes, "\u{feff}"),
            wide(u16::to_le_bytes, ""),
        ] {
            let table = read(&bytes).expect("a table");
            let rows: Vec<Row> = table.rows().collect();
            assert_eq!((&table.columns[..], rows.len()), (&["path", "label"].map(String::from)[..], 2));
            assert_eq!(table.value(&rows[0], &["label"]), Some("left, up"));
            assert_eq!(table.value(&rows[1], &["PATH"]), Some("b.png"));
        }
        let latin = read(b"path\n\xfc.png\n").expect("a table");
        assert_eq!(latin.value(&latin.rows().next().expect("a row"), &["path"]), Some("ü.png"));
        let quoted = read(b"path\n\"a \"\"b\"\" \n\" \n").expect("a table");
        assert_eq!(quoted.value(&quoted.rows().next().expect("a row"), &["path"]), Some("a \"b\""));
    }

    #[test]
    fn broken_rows_are_named_by_their_line() {
        for (rows, named) in [
            ("a,x\nb,\"y\nc,z\n", "line 3 opens a quote that nothing closes"),
            ("a,x\nb,\"y\nc,\"z\"\n", "line 3 opens a quote that is not closed at the end of a cell"),
            ("a,\"x\ny\"\nb\n", "line 4 has 1 cells, where the header names 2"),
            ("a,x,y\n", "line 2 has 3 cells"),
        ] {
            let error = read(format!("path,label\n{rows}").as_bytes()).map(|_| ()).expect_err("a broken table");
            assert!(format!("{error:#}").contains(named), "{error:#}");
        }
        let table = read(b"path,label\n\"a\nb\",x,,\n\nc,y\n").expect("a table");
        assert_eq!(table.rows().map(|row| row.line).collect::<Vec<_>>(), [2, 5]);
    }
}
