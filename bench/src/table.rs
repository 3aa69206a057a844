//! Rounds of two contestants, and the table that compares them.

/// One contestant's rounds.
#[derive(Debug)]
pub struct Row {
    name: &'static str,
    rates: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

impl Row {
    /// Without rounds yet.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, rates: Vec::new(), p50_us: Vec::new(), p99_us: Vec::new() }
    }

    /// A round: how many nanoseconds each operation took, one after the other.
    ///
    /// # Panics
    /// If there was none.
    pub fn add(&mut self, nanos: &[u64]) {
        let mut sorted = nanos.to_vec();
        sorted.sort_unstable();
        let total: u64 = sorted.iter().sum();
        let at = |per_cent: usize| sorted[(sorted.len() - 1) * per_cent / 100] as f64 / 1000.0;
        self.rates.push(nanos.len() as f64 * 1e9 / total as f64);
        self.p50_us.push(at(50));
        self.p99_us.push(at(99));
    }
}

/// The median, and the extremes.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        Self { least: values[0], median: values[values.len() / 2], most: values[values.len() - 1] }
    }

    fn told(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} .. {:.digits$})", self.median, self.least, self.most)
    }
}

/// Prints a line for each row, and the ratio of the second row's rate to the first's, taken round by round.
pub fn print(unit: &str, rows: &[Row; 2]) {
    println!("{:<28} {unit:>30} {:>26} {:>26}", "", "p50 us", "p99 us");
    for row in rows {
        let spread = |values: &[f64], digits| Spread::of(values.iter().copied()).told(digits);
        let (rate, p50, p99) = (spread(&row.rates, 0), spread(&row.p50_us, 1), spread(&row.p99_us, 1));
        println!("{:<28} {rate:>30} {p50:>26} {p99:>26}", row.name);
    }
    let ratios = rows[1].rates.iter().zip(&rows[0].rates).map(|(ours, theirs)| ours / theirs);
    println!("{:<28} {:>30}", "ratio", Spread::of(ratios).told(2));
}
