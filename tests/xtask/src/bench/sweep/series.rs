//! A figure over several points: a table and a plot.

use anyhow::Result;

use super::super::figures::Figure;
use super::super::page::{Row, fine, number, table};
use super::super::peer::Three;
use super::super::plot::{self, Panel};

/// One figure over several points.
pub struct Series {
    /// The plot's file name.
    pub name: &'static str,
    /// What is done.
    pub title: &'static str,
    /// What the points are.
    pub axis: &'static str,
    /// Units of throughput and of cost.
    pub units: [&'static str; 2],
    /// In their order.
    pub points: Vec<Point>,
}

/// What was measured at one point: throughput, and the backend's processor time for each unit of work.
pub struct Point {
    name: String,
    throughput: Three<Figure>,
    cost: Three<Figure>,
}

impl Series {
    /// A table and its plot.
    pub fn show(&self) -> Result<String> {
        let panel = |title: String, of: fn(&Point) -> &Three<Figure>| {
            let line = |pick: fn(&Three<Figure>) -> Figure| {
                let points = self.points.iter();
                points.map(|point| pick(of(point)).mean).collect::<Vec<f64>>()
            };
            Panel {
                title,
                axis: self.axis.to_owned(),
                points: self.points.iter().map(|point| point.name.clone()).collect(),
                lines: Three {
                    linux: line(|three| three.linux),
                    linux_domain: line(|three| three.linux_domain),
                    ours: line(|three| three.ours),
                },
            }
        };
        let [throughput, cost] = self.units;
        let panels = [
            panel(format!("{throughput} (more is better)"), |point| {
                &point.throughput
            }),
            panel(format!("backend's {cost} (less is better)"), |point| &point.cost),
        ];
        let picture = plot::publish(self.name, self.title, &panels)?;
        let heads = [
            self.axis,
            &format!("{throughput}: Linux in Dom0"),
            "Linux domain",
            "ours",
            "ours / Dom0",
            &format!("{cost}: Linux in Dom0"),
            "Linux domain",
            "ours",
            "ours / Dom0",
        ];
        let rows: Vec<Row> = self.points.iter().map(Point::row).collect();
        Ok(format!(
            "\n## {}\n\n{picture}\n{}",
            self.title,
            table(&heads, &rows)
        ))
    }
}

impl Point {
    /// Of throughput and cost of each backend.
    pub fn of(
        name: String,
        linux: (Figure, Figure),
        linux_domain: (Figure, Figure),
        ours: (Figure, Figure),
    ) -> Self {
        Self {
            name,
            throughput: Three {
                linux: linux.0,
                linux_domain: linux_domain.0,
                ours: ours.0,
            },
            cost: Three {
                linux: linux.1,
                linux_domain: linux_domain.1,
                ours: ours.1,
            },
        }
    }

    fn row(&self) -> Row {
        let mut row = vec![self.name.clone()];
        let mut add = |three: &Three<Figure>, text: fn(f64) -> String| {
            row.extend(three.columns().map(|figure| text(figure.mean)));
            row.push(format!("{:.2}", three.ours.mean / three.linux.mean));
        };
        add(&self.throughput, number);
        add(&self.cost, fine);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(linux: f64, linux_domain: f64, ours: f64) -> Three<Figure> {
        let figure = |mean| Figure { mean, spread: 0.0 };
        Three {
            linux: figure(linux),
            linux_domain: figure(linux_domain),
            ours: figure(ours),
        }
    }

    #[test]
    fn a_row_has_throughput_first_and_then_cost() {
        let point = Point {
            name: "4k".to_owned(),
            throughput: three(200.0, 100.0, 300.0),
            cost: three(4.0, 8.0, 1.0),
        };
        assert_eq!(
            point.row(),
            ["4k", "200", "100", "300", "1.50", "4.00", "8.00", "1.00", "0.25"]
        );
    }
}
