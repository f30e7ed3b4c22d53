//! Tables as people have them: CSV as scripts, archives and Excel write it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// A table with a header.
pub struct Table {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its rows that are not empty.
    pub rows: Vec<Row>,
}

/// A row.
pub struct Row {
    /// Its first line in the file, from 1.
    pub line: usize,
    cells: Vec<String>,
}

impl Table {
    /// Reads a table with commas, semicolons or tabs between cells, in any encoding that [`text`] knows.
    ///
    /// # Errors
    /// A column is missing, a quote is left open, or a row has fewer or more cells than the header.
    pub fn read(path: &Path, needed: &[&str], accepted: &str) -> Result<Self> {
        let text = text(path)?;
        let mut rows = records(&text).with_context(|| format!("cannot read {}", path.display()))?;
        rows.retain(|row| row.cells.iter().any(|cell| !cell.trim().is_empty()));
        ensure!(!rows.is_empty(), "{} is empty: {accepted}", path.display());
        let mut columns: Vec<String> = rows.remove(0).cells.iter().map(|name| name.trim().to_owned()).collect();
        while columns.pop_if(|name| name.is_empty()).is_some() {}
        for column in needed {
            ensure!(
                columns.iter().any(|c| c.eq_ignore_ascii_case(column)),
                "{} has no column `{column}`: it has {}; {accepted}",
                path.display(),
                columns.iter().filter(|c| !c.is_empty()).map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
            );
        }
        for Row { line, cells } in &rows {
            let beyond = cells.iter().skip(columns.len()).any(|cell| !cell.trim().is_empty());
            ensure!(
                cells.len() >= columns.len() && !beyond,
                "{} line {line} has {} cells, where the header names {}: is a quote or a separator missing?",
                path.display(),
                cells.len(),
                columns.len()
            );
        }
        Ok(Self { columns, rows })
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
    let wide = |of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    // The first character of a table is one of ASCII.
    let text = match bytes[..] {
        [0xff, 0xfe, ..] | [_, 0, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, _, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()),
    };
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n"))
}

/// Cells by RFC 4180, read strictly: a quote that is left open would take the rest of the file for one cell.
fn records(text: &str) -> Result<Vec<Row>> {
    let (header, rest) = text.split_once('\n').unwrap_or((text, ""));
    let often = |separator: &char| header.matches(*separator).count();
    // Excel's own line, or else what the header has most of; commas where there is none.
    let (text, separator, mut line) = match header.strip_prefix("sep=").and_then(|named| named.chars().next()) {
        Some(named) => (rest, named, 2),
        None => (text, [';', '\t', ','].into_iter().max_by_key(often).unwrap_or(','), 1),
    };
    let (mut rows, mut chars) = (Vec::new(), text.chars().peekable());
    while chars.peek().is_some() {
        let mut row = Row { line, cells: Vec::new() };
        loop {
            let (opened, mut cell) = (line, String::new());
            if chars.next_if_eq(&'"').is_some() {
                loop {
                    match chars.next() {
                        None => bail!("line {opened} opens a quote that nothing closes"),
                        Some('"') if chars.next_if_eq(&'"').is_none() => break,
                        Some(c) => {
                            line += usize::from(c == '\n');
                            cell.push(c);
                        }
                    }
                }
                while chars.next_if_eq(&' ').is_some() {}
                let ends = chars.peek().is_none_or(|&c| c == separator || c == '\n');
                ensure!(ends, "line {opened} opens a quote that is not closed at the end of a cell");
            }
            while let Some(c) = chars.next_if(|&c| c != separator && c != '\n') {
                cell.push(c);
            }
            row.cells.push(cell);
            if chars.next_if_eq(&separator).is_none() {
                break;
            }
        }
        line += usize::from(chars.next().is_some());
        rows.push(row);
    }
    Ok(rows)
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
            assert_eq!((&table.columns[..], table.rows.len()), (&["path", "label"].map(String::from)[..], 2));
            assert_eq!(table.value(&table.rows[0], &["label"]), Some("left, up"));
            assert_eq!(table.value(&table.rows[1], &["PATH"]), Some("b.png"));
        }
        let latin = read(b"path\n\xfc.png\n").expect("a table");
        assert_eq!(latin.value(&latin.rows[0], &["path"]), Some("ü.png"));
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
        assert_eq!(table.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 5]);
    }
}
