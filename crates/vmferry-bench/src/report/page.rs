//! A report as blocks of text, tables and figures: written once, rendered as Markdown and as HTML.

/// A whole report.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// What stands before the first section.
    pub lead: Vec<Block>,
    /// What follows, in order.
    pub sections: Vec<Section>,
}

/// A part of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its title.
    pub title: String,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// A block of a section. All text is plain: each rendering escapes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A title below the section's.
    Title(String),
    /// A paragraph.
    Text(String),
    /// Short statements.
    List(Vec<String>),
    /// Rows and columns.
    Table(Table),
    /// Drawings side by side; Markdown leaves them out.
    Figures(Vec<Figure>),
    /// Lines to type into a shell.
    Commands(Vec<String>),
    /// A file in this language, whole.
    File(&'static str, String),
    /// What most readers skip: a summary that unfolds.
    Fold(String, Vec<Block>),
}

/// A table. The first column names the row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What it shows, in a line.
    pub caption: String,
    /// Titles of the columns.
    pub head: Vec<String>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<String>>,
    /// What its cells hold.
    pub holds: Holds,
}

/// What the cells of a table hold, beside the names of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Numbers, which stand to the right.
    Numbers,
    /// Words, which stand to the left and may be broken.
    Words,
}

impl Table {
    /// An empty table of numbers.
    pub fn new(caption: impl Into<String>, head: &[&str]) -> Self {
        Self {
            caption: caption.into(),
            head: head.iter().map(|title| (*title).to_owned()).collect(),
            rows: Vec::new(),
            holds: Holds::Numbers,
        }
    }

    /// An empty table of words.
    pub fn of_words(caption: impl Into<String>, head: &[&str]) -> Self {
        Self {
            holds: Holds::Words,
            ..Self::new(caption, head)
        }
    }
}

/// A drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What is seen, in a line below it.
    pub caption: String,
    /// The `<svg>` element, complete, with title and description.
    pub svg: String,
}

impl Section {
    /// A part with nothing in it yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            blocks: Vec::new(),
        }
    }

    /// Adds a paragraph.
    pub fn say(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    /// Adds a title.
    pub fn title(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Title(text.into()));
    }

    /// Adds statements; nothing where there is none.
    pub fn list(&mut self, items: Vec<String>) {
        if !items.is_empty() {
            self.blocks.push(Block::List(items));
        }
    }

    /// Adds a table; nothing where it has no row.
    pub fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.blocks.push(Block::Table(table));
        }
    }

    /// Adds lines to type into a shell.
    pub fn commands(&mut self, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned());
        self.blocks.push(Block::Commands(lines.collect()));
    }

    /// Adds drawings; nothing where there is none.
    pub fn figures(&mut self, figures: Vec<Figure>) {
        if !figures.is_empty() {
            self.blocks.push(Block::Figures(figures));
        }
    }
}
