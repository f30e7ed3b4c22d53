//! The images of a run, shared out to several engines.

use std::ops::Range;

use super::host::StepTaken;

/// How far each engine is with its share.
#[derive(Clone, Debug)]
pub struct Shares {
    ranges: Vec<Range<usize>>,
    taken: Vec<Option<StepTaken>>,
}

impl Shares {
    /// Even shares of `images` for at most so many engines; the first has the most.
    pub fn new(images: usize, engines: usize) -> Self {
        let engines = engines.clamp(1, images.max(1));
        let start = |i: usize| (i * images).div_ceil(engines);
        let ranges: Vec<_> = (0..engines).map(|i| start(i)..start(i + 1)).collect();
        Self { taken: vec![None; engines], ranges }
    }

    /// The images of each.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// An engine took a step. What it showed before stays where it shows nothing new.
    pub fn on_step(&mut self, engine: usize, mut step: StepTaken) {
        if step.pictures.is_empty()
            && let Some(before) = self.taken[engine].take()
        {
            step.pictures = before.pictures;
        }
        self.taken[engine] = Some(step);
    }

    /// The step that all have taken, with the latest pictures of each if all have some; none before the first.
    pub fn together(&self) -> Option<StepTaken> {
        let all: Vec<&StepTaken> = self.taken.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let slowest = all.iter().min_by_key(|taken| taken.step)?;
        let shown = all.iter().all(|taken| !taken.pictures.is_empty());
        let pictures = if shown { all.iter().flat_map(|taken| taken.pictures.clone()).collect() } else { Vec::new() };
        Some(StepTaken { step: slowest.step, of: slowest.of, t: slowest.t, pictures, noisy: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Picture;

    #[test]
    fn shares_are_even_and_whole() {
        let sizes = |images, engines| Shares::new(images, engines).ranges().iter().map(Range::len).collect::<Vec<_>>();
        assert_eq!(
            (sizes(9, 4), sizes(4, 2), sizes(3, 8), sizes(1, 0)),
            (vec![3, 2, 2, 2], vec![2, 2], vec![1; 3], vec![1])
        );
        for (images, engines) in [(16, 3), (9, 2), (5, 4)] {
            let shares = Shares::new(images, engines);
            assert!(shares.ranges().iter().cloned().flatten().eq(0..images), "{shares:?}");
        }
    }

    #[test]
    fn the_slowest_counts_and_pictures_stay() {
        let picture = |value| Picture { width: 1, height: 1, pixels: vec![value] };
        let step = |step, pictures: &[u8]| StepTaken {
            step,
            of: 9,
            t: 0.5,
            pictures: pictures.iter().copied().map(picture).collect(),
            noisy: None,
        };
        let mut shares = Shares::new(3, 2);
        shares.on_step(0, step(2, &[1, 2]));
        assert_eq!(shares.together(), None);
        shares.on_step(1, step(1, &[]));
        assert_eq!(shares.together(), Some(step(1, &[])));
        shares.on_step(1, step(3, &[3]));
        shares.on_step(0, step(4, &[]));
        assert_eq!(shares.together(), Some(step(3, &[1, 2, 3])));
    }
}
