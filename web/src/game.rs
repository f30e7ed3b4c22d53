//! The game "Real or drawn?": which pictures a round shows, on which side, and the score.

/// The names of the real X-rays in ChestX-ray14, in the site's folder `real`.
pub const REAL: [&str; 12] = [
    "00017144_001",
    "00007732_000",
    "00026369_000",
    "00020595_000",
    "00016263_000",
    "00006398_000",
    "00019143_009",
    "00028715_000",
    "00017906_000",
    "00027914_000",
    "00014433_000",
    "00024717_000",
];

/// A side of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The left one.
    Left,
    /// The right one.
    Right,
}

impl Side {
    /// Both, in reading order.
    pub const BOTH: [Side; 2] = [Side::Left, Side::Right];

    /// The name in attributes.
    pub fn name(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
        }
    }
}

/// A game; all in it follows from its seed and the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Game {
    seed: u32,
    round: u32,
    /// Rounds that were answered rightly.
    pub right: u32,
    /// The side that the visitor takes for drawn, once they have answered this round.
    pub answer: Option<Side>,
}

impl Game {
    /// The first round.
    pub fn new(seed: u32) -> Self {
        Self { seed, round: 0, right: 0, answer: None }
    }

    /// The number of the round, from 1.
    pub fn round(&self) -> u32 {
        self.round + 1
    }

    /// The rounds that were answered.
    pub fn answered(&self) -> u32 {
        self.round + u32::from(self.answer.is_some())
    }

    /// The real X-ray of this round: each once, before one comes again.
    pub fn real(&self) -> &'static str {
        let count = REAL.len() as u64;
        let mut order: Vec<usize> = (0..REAL.len()).collect();
        let turn = u64::from(self.round) / count;
        for i in (1..REAL.len()).rev() {
            order.swap(i, (mix(self.seed, turn << 32 | i as u64) % (i as u64 + 1)) as usize);
        }
        REAL[order[(u64::from(self.round) % count) as usize]]
    }

    /// The seed of the drawn picture of a round: this one, or a later one.
    pub fn drawn_seed(&self, later: u32) -> u64 {
        mix(self.seed, 1 << 62 | u64::from(self.round + later)) >> 32
    }

    /// The side of the drawn picture.
    pub fn drawn_side(&self) -> Side {
        Side::BOTH[(mix(self.seed, 1 << 61 | u64::from(self.round)) % 2) as usize]
    }

    /// The visitor takes this side for drawn; only the first answer counts.
    pub fn take(&mut self, side: Side) {
        if self.answer.is_none() {
            self.answer = Some(side);
            self.right += u32::from(side == self.drawn_side());
        }
    }

    /// The next round.
    pub fn next(&mut self) {
        if self.answer.take().is_some() {
            self.round += 1;
        }
    }
}

/// SplitMix64 (Steele et al. 2014) of a seed and a place.
fn mix(seed: u32, place: u64) -> u64 {
    let mut z = (u64::from(seed) << 20 ^ place).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_real_picture_comes_once_before_one_comes_again() {
        let mut game = Game::new(7);
        for _ in 0..2 {
            let mut seen = BTreeSet::new();
            for _ in 0..REAL.len() {
                seen.insert(game.real());
                game.take(Side::Left);
                game.next();
            }
            assert_eq!(seen.len(), REAL.len());
        }
        assert_eq!(game.answered(), 2 * REAL.len() as u32);
    }

    #[test]
    fn both_sides_come_and_only_the_first_answer_counts() {
        let mut game = Game::new(1);
        let mut left = 0;
        for round in 0..100 {
            assert_eq!(game.right, round);
            let next = game.drawn_seed(1);
            let side = game.drawn_side();
            left += u32::from(side == Side::Left);
            game.take(side);
            game.take(if side == Side::Left { Side::Right } else { Side::Left });
            game.next();
            assert_eq!(game.drawn_seed(0), next);
        }
        assert!((30..70).contains(&left), "{left} of 100 are on the left");
    }
}
