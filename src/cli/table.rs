//! Rows and blocks of text in columns. It knows nothing of what they say.

use super::console::{Console, Tone};

/// Between two columns.
const GAP: &str = "  ";

/// A text, and how it is to look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub tone: Option<Tone>,
}

impl Cell {
    pub fn toned(tone: Option<Tone>, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }

    /// Filled with spaces to `to` columns, then painted: colours take no room.
    pub fn padded(&self, console: &Console, to: usize, right: bool) -> String {
        let text = one_line(&self.text);
        let fill = " ".repeat(to.saturating_sub(width(&text)));
        let painted = match self.tone {
            Some(tone) => console.paint(tone, &text),
            None => text,
        };
        if right { fill + &painted } else { painted + &fill }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: None }
    }
}

/// Columns under headings, each as wide as its widest cell.
pub struct Table {
    headings: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
    right: Vec<bool>,
}

impl Table {
    /// A heading that begins with `>` makes its column stand at the right, as numbers should.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            headings: headings.iter().map(|heading| Cell::toned(Some(Tone::Strong), heading.trim_start_matches('>'))).collect(),
            rows: Vec::new(),
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
        }
    }

    pub fn row<const COLUMNS: usize>(&mut self, cells: [Cell; COLUMNS]) {
        debug_assert_eq!(COLUMNS, self.headings.len());
        self.rows.push(cells.into());
    }

    /// Without a line break at the end.
    pub fn text(&self, console: &Console) -> String {
        let lines: Vec<&Vec<Cell>> = std::iter::once(&self.headings).chain(&self.rows).collect();
        let widest = |column: usize| lines.iter().map(|line| width(&line[column].text)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.headings.len()).map(widest).collect();
        let lines = lines.iter().map(|line| {
            let cells = line.iter().zip(&widths).zip(&self.right);
            let cells: Vec<String> = cells.map(|((cell, &to), &right)| cell.padded(console, to, right)).collect();
            cells.join(GAP).trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Names and what belongs to them, one pair a line. Further lines of a value stand under its first.
pub fn block(console: &Console, pairs: &[(String, Cell)]) -> String {
    let names = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (name, Cell { text, tone }) in pairs {
        let mut name = name.as_str();
        for line in text.trim_end().split('\n') {
            let name = Cell::toned(Some(Tone::Faint), std::mem::take(&mut name)).padded(console, names, false);
            let value = Cell::toned(*tone, line).padded(console, 0, false);
            lines.push(format!("{name}{GAP}{value}").trim_end().to_owned());
        }
    }
    lines.join("\n")
}

/// Every character counts one: what is shown here is identifiers, amounts and what callers wrote, and wider characters only
/// push their own line.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// What others wrote must not break lines or steer the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::{coloured, console};
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["ID", ">AMOUNT", "STATE"]);
        table.row(["qr_1", "₹499.00", "ACTIVE"].map(Cell::from));
        table.row(["qr_1234", "₹1,00,000.00", ""].map(Cell::from));
        let expected = "\
ID             AMOUNT  STATE
qr_1          ₹499.00  ACTIVE
qr_1234  ₹1,00,000.00";
        assert_eq!(table.text(&console().0), expected);
    }

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::new(&["STATE", "ID"]);
        table.row([Cell::toned(Some(Tone::Good), "ACTIVE"), "a".into()]);
        table.row(["REQUESTED", "b"].map(Cell::from));
        let expected = "\x1b[1mSTATE\x1b[0m      \x1b[1mID\x1b[0m\n\x1b[32mACTIVE\x1b[0m     a\nREQUESTED  b";
        assert_eq!(table.text(&coloured()), expected);
    }

    #[test]
    fn a_cell_stays_in_its_line_and_steers_nothing() {
        let mut table = Table::new(&["NAME", "X"]);
        table.row(["two\nlines\u{1b}[2J", "x"].map(Cell::from));
        assert_eq!(table.text(&console().0), "NAME           X\ntwo lines [2J  x");
    }

    #[test]
    fn an_empty_table_is_its_headings() {
        let table = Table::new(&["ID", "STATE"]);
        assert_eq!(table.text(&console().0), "ID  STATE");
    }

    #[test]
    fn a_block_aligns_its_values() {
        let pairs = [("id", "qr_1"), ("amount", "₹499.00"), ("labels", "a = 1\nb = 2"), ("name", "")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.into()));
        assert_eq!(block(&console().0, &pairs), "id      qr_1\namount  ₹499.00\nlabels  a = 1\n        b = 2\nname");
        assert_eq!(block(&console().0, &[]), "");
    }
}
