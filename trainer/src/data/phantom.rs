//! Thorax phantoms: procedurally drawn pictures with the anatomy of a frontal chest X-ray, to try the trainer without
//! data. They are drawings, not X-rays.
//!
//! A picture is a map of densities in the unit square, x to the right and y downwards: soft tissue, less the air in
//! lungs and trachea, plus heart, vessels and bone; then exposure, grain and 8 bits. Bright is dense, and the heart
//! lies on the right of the picture, the patient's left. Everything is drawn from arithmetic and square roots, which
//! are the same on every platform.

use vdm::image::to_u8;
use vdm::rng::{Rng, RngStream};

/// Draws phantom number `index` of a seed: `height · width` grey values, row by row.
pub fn draw(seed: u64, index: u64, height: usize, width: usize) -> Vec<u8> {
    let mut stream = Rng::new(seed, RngStream::Phantom, index);
    let anatomy = Anatomy::draw(&mut stream);
    let mut film = Film::new(height, width);
    film.fill(|x, y| anatomy.at(x, y));
    anatomy.vessels(&mut film, &mut stream);
    anatomy.ribs(&mut film);
    anatomy.clavicles(&mut film);
    film.expose(&anatomy, &mut stream)
}

/// 0 below 0, 1 above 1, smooth between.
fn smooth(t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 where `distance` is well above 0, 0 well below, over an edge of half-width `edge`.
fn inside(distance: f64, edge: f64) -> f64 {
    smooth(0.5 + 0.5 * distance / edge)
}

/// 1 at 0, falling smoothly to 0 at ±1.
fn bump(t: f64) -> f64 {
    bump_squared(t * t)
}

/// [`bump`] of the root of its argument.
fn bump_squared(t_squared: f64) -> f64 {
    let rest = (1.0 - t_squared).max(0.0);
    rest * rest
}

/// The sides of the picture. The patient's right is on the left of the picture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    const BOTH: [Side; 2] = [Side::Left, Side::Right];

    fn sign(self) -> f64 {
        match self {
            Side::Left => -1.0,
            Side::Right => 1.0,
        }
    }

    fn of(offset: f64) -> Self {
        if offset < 0.0 { Side::Left } else { Side::Right }
    }
}

/// What varies from phantom to phantom; lengths in parts of the picture.
struct Anatomy {
    midline: f64,
    lean: f64,
    body: f64,
    shoulder: f64,
    lung_width: f64,
    lung_top: f64,
    /// Height of the top of the diaphragm's domes, left and right in the picture.
    domes: [f64; 2],
    dome_curve: f64,
    heart: [f64; 2],
    heart_at: [f64; 2],
    aorta: f64,
    stomach: f64,
    vessels: f64,
    rib_pitch: f64,
    rib_slope: f64,
    rib_density: f64,
    clavicle_rise: f64,
    clavicle_at: f64,
    contrast: f64,
    brightness: f64,
    grain: f64,
}

impl Anatomy {
    fn draw(stream: &mut Rng) -> Self {
        // At most two deviations from the mean: no phantom falls apart.
        let mut vary = |mean: f64, deviation: f64| mean + deviation * stream.normal().clamp(-2.0, 2.0);
        let dome = vary(0.745, 0.025);
        Self {
            midline: vary(0.5, 0.012),
            lean: vary(0.0, 0.02),
            body: vary(0.485, 0.022),
            shoulder: vary(0.10, 0.02),
            lung_width: vary(0.365, 0.016),
            lung_top: vary(0.115, 0.015),
            domes: [dome, vary(dome + 0.03, 0.012)],
            dome_curve: vary(0.13, 0.03),
            heart: [vary(0.155, 0.014), vary(0.155, 0.013)],
            heart_at: [vary(0.060, 0.010), vary(0.095, 0.012)],
            aorta: vary(0.045, 0.006),
            stomach: vary(0.05, 0.05).max(0.0),
            vessels: vary(0.085, 0.02),
            rib_pitch: vary(0.075, 0.004),
            rib_slope: vary(0.30, 0.06),
            rib_density: vary(0.115, 0.018),
            clavicle_rise: vary(0.05, 0.02),
            clavicle_at: vary(0.165, 0.015),
            contrast: vary(1.0, 0.07),
            brightness: vary(0.0, 0.03),
            grain: vary(0.012, 0.003).max(0.0),
        }
    }

    /// Signed distance from the midline, which may lean.
    fn offset(&self, x: f64, y: f64) -> f64 {
        x - self.midline - self.lean * (y - 0.5)
    }

    /// Height of the diaphragm at a signed distance from the midline.
    fn diaphragm(&self, offset: f64) -> f64 {
        let out = offset.abs();
        let right = smooth(0.5 + offset / 0.16);
        let dome = self.domes[0] * (1.0 - right) + self.domes[1] * right;
        let from_top = (out - 0.48 * self.lung_width) / self.lung_width;
        let falls = if from_top > 0.0 { 2.6 } else { 0.7 };
        dome + self.dome_curve * falls * from_top * from_top
    }

    /// Distance of the chest wall's inner side from the midline.
    fn chest_wall(&self, y: f64) -> f64 {
        let down = ((y - self.lung_top) / 0.62).clamp(0.0, 1.0);
        let up = 1.0 - down;
        self.lung_width * (1.0 - up * up * up).max(0.0).sqrt() * (0.93 + 0.07 * down)
    }

    /// Share of lung at a point, from 0 to 1, where there is no heart.
    fn lung(&self, offset: f64, y: f64, diaphragm: f64) -> f64 {
        let out = offset.abs();
        let hilum = 0.022 * bump((y - 0.42) / 0.16);
        let medial = 0.044 + hilum + 0.03 * (y - 0.2).max(0.0);
        inside(self.chest_wall(y) - out, 0.016)
            * inside(out - medial, 0.024)
            * inside(diaphragm - y, 0.012)
            * inside(y - self.lung_top, 0.02)
    }

    /// Share of heart and great vessels, from 0 to 1: blobs that flow into each other.
    fn heart(&self, offset: f64, y: f64) -> f64 {
        let blob = |u: f64, v: f64| bump_squared(u * u + v * v);
        let [rx, ry] = self.heart;
        let (dx, dy) = (offset - self.heart_at[0], y - (self.domes[1] - self.heart_at[1]));
        // Its long axis points down to the right of the picture.
        let (along, across) = (0.91 * dx + 0.41 * dy, 0.91 * dy - 0.41 * dx);
        let ventricles = blob((along - 0.02) / (1.55 * rx), across / (1.3 * ry));
        let atrium = blob((dx + 0.075) / (0.9 * rx), (dy - 0.01) / (1.15 * ry));
        let trunk = 0.7 * blob((offset - 0.03) / 0.095, (y - 0.5) / 0.2);
        let knob = 0.6 * blob((offset - 0.04) / (1.5 * self.aorta), (y - 0.325) / (1.9 * self.aorta));
        let cava = 0.5 * blob((offset + 0.03) / 0.06, (y - 0.40) / 0.24);
        inside(ventricles + atrium + trunk + knob + cava - 0.3, 0.1)
    }

    /// What is at a point, but for ribs, clavicles and the lungs' vessels.
    fn at(&self, x: f64, y: f64) -> Tissue {
        let offset = self.offset(x, y);
        let (side, out) = (Side::of(offset), offset.abs());
        // Neck, shoulders, and arms raised out of the picture.
        let neck = 0.115;
        let reach = self.body - 0.03 * smooth((y - 0.45) / 0.5);
        let slope = (y - 0.01 - 0.35 * self.shoulder * (out / 0.5)) / (self.shoulder + 0.16 * (out / 0.5));
        let half_width = neck + (reach - neck) * smooth(slope);
        let depth = (1.0 - (out / half_width.max(0.02)).min(1.0).powi(2)).sqrt();
        let skin = inside(half_width - out, 0.008);
        let tissue = skin * (0.20 + 0.42 * depth);
        let axilla = 0.10 * skin * bump((out - 0.44) / 0.12) * bump((y - 0.30) / 0.28);

        let diaphragm = self.diaphragm(offset);
        let heart = self.heart(offset, y);
        let air = self.lung(offset, y, diaphragm) * (1.0 - 0.96 * heart);
        let centre = (out / self.lung_width - 0.52) / 0.75;
        let lung = air * (0.30 + 0.10 * bump(centre) - 0.05 * smooth((y - 0.45) / 0.4));

        let below = inside(y - diaphragm, 0.02) * inside(self.lung_width + 0.03 - out, 0.05);
        let abdomen = below * (0.13 + 0.04 * (1.0 - side.sign() * (offset / 0.4)).clamp(0.0, 2.0) * 0.5);
        let bubble = |dx: f64, dy: f64| bump((dx * dx + dy * dy).sqrt());
        let stomach = match side {
            Side::Right => bubble((out - 0.2) / 0.13, (y - self.domes[1] - 0.085) / 0.055) * below * 3.0 * self.stomach,
            Side::Left => 0.0,
        };

        let mediastinum = 0.15 * bump(out / (0.095 + 0.02 * bump((y - 0.25) / 0.2))) * smooth((y - 0.02) / 0.2);
        let disc = (y / 0.042).fract() - 0.5;
        let vertebrae = 0.75 + 0.25 * smooth((disc.abs() - 0.5).abs() * 8.0);
        let spine = 0.085 * inside(0.036 + 0.008 * y - out, 0.012) * vertebrae * smooth((y - 0.05) / 0.1);
        let trachea = 0.15 * bump(offset / 0.027) * smooth((y + 0.02) / 0.06) * (1.0 - smooth((y - 0.26) / 0.1));
        let bronchus = 0.05 * bump((y - 0.345 - 0.55 * out) / 0.02) * inside(0.09 - out, 0.02) * inside(y - 0.33, 0.02);
        let dense = tissue + axilla + abdomen + 0.07 * heart * (1.0 - 0.7 * below) + mediastinum + spine;
        Tissue { density: dense - lung - stomach - trachea - bronchus, lung: air, body: skin }
    }

    /// Vessels that branch from the hila into the lungs.
    fn vessels(&self, film: &mut Film, stream: &mut Rng) {
        for side in Side::BOTH {
            let lower = if side == Side::Right { 0.0 } else { 0.015 };
            let hilum = [self.midline + side.sign() * 0.075, 0.415 + lower];
            for i in 0..15 {
                let turn = -1.1 + 2.35 * (i as f64 + 0.6 * stream.uniform()) / 14.0;
                let length = 0.16 + 0.14 * stream.uniform();
                let path = Path {
                    from: [hilum[0], hilum[1] + 0.04 * turn],
                    towards: [side.sign() * (1.0 - 0.55 * turn * turn).max(0.12), turn],
                    bend: 0.5 * (stream.uniform() - 0.5),
                    length,
                    radius: 0.0115,
                };
                path.paint(film, self.vessels);
                // A branch on the way.
                let at = path.at(0.45);
                let fork = if stream.uniform() < 0.5 { -0.7 } else { 0.7 };
                let [tx, ty] = path.towards;
                let branch = Path {
                    from: at,
                    towards: [tx - fork * ty, ty + fork * tx],
                    bend: 0.4 * (stream.uniform() - 0.5),
                    length: 0.6 * length,
                    radius: 0.006,
                };
                branch.paint(film, 0.8 * self.vessels);
            }
            // The hilum itself.
            let dense = Path { from: hilum, towards: [side.sign() * 0.3, 1.0], bend: 0.1, length: 0.07, radius: 0.04 };
            dense.paint(film, 0.9 * self.vessels);
        }
    }

    /// Ribs: each leaves the spine, arches to the chest wall, and comes back in front, lower and fainter.
    fn ribs(&self, film: &mut Film) {
        let first = self.lung_top - 0.005;
        for side in Side::BOTH {
            for number in 0..10 {
                let k = f64::from(number);
                let root = first + k * self.rib_pitch;
                let half = 0.0125 + 0.0006 * k;
                let reach = self.chest_wall(root + 0.08) + 0.012;
                let sag = self.rib_slope * (0.35 + 0.05 * k);
                let posterior = |part: f64| root + reach * (sag * (part * part * part) + 0.10 * (part * part - part));
                film.paint_columns(|film, x| {
                    let out = (x - self.midline) * side.sign();
                    let part = out / reach;
                    if !(0.06..=1.0).contains(&part) {
                        return;
                    }
                    // Bone is seen edge-on at the wall, and hides in the mediastinum and below the diaphragm.
                    let y = posterior(part);
                    let seen = smooth((part - 0.06) / 0.2) * (1.0 - 0.75 * smooth((y - self.domes[0]) / 0.06));
                    let shade = self.rib_density * seen * (0.75 + 0.7 * part * part * part);
                    film.band(x, y, half, shade, 0.55);
                });
                if number < 7 {
                    let wall = posterior(1.0);
                    let drop = 0.10 + 0.012 * k;
                    film.paint_columns(|film, x| {
                        let part = (x - self.midline) * side.sign() / reach;
                        if !(0.30..=1.0).contains(&part) {
                            return;
                        }
                        let inward = 1.0 - part;
                        let y = wall + drop * (2.0 * inward - 1.1 * inward * inward).max(0.0);
                        let seen = smooth((part - 0.30) / 0.2) * (1.0 - smooth((y - self.domes[0]) / 0.05));
                        film.band(x, y, 1.15 * half, 0.62 * self.rib_density * seen, 0.35);
                    });
                }
            }
        }
    }

    fn clavicles(&self, film: &mut Film) {
        for side in Side::BOTH {
            film.paint_columns(|film, x| {
                let out = (x - self.midline) * side.sign();
                let part = (out - 0.035) / 0.36;
                if !(0.0..=1.0).contains(&part) {
                    return;
                }
                // An S: down to the sternum, up towards the shoulder.
                let wave = part * (1.0 - part) * (1.0 - 2.0 * part);
                let y = self.clavicle_at + 0.02 - self.clavicle_rise * part - 0.25 * wave;
                let half = 0.0165 + 0.006 * bump(part / 0.25);
                let ends = smooth(part / 0.04) * smooth((1.0 - part) / 0.05);
                film.band(x, y, half, 0.12 * ends, 0.45);
            });
        }
    }
}

/// A bent line that tapers to nothing.
struct Path {
    from: [f64; 2],
    towards: [f64; 2],
    bend: f64,
    length: f64,
    radius: f64,
}

impl Path {
    fn at(&self, part: f64) -> [f64; 2] {
        let [tx, ty] = self.towards;
        let norm = (tx * tx + ty * ty).sqrt().max(1e-6);
        let (along, across) = (self.length * part / norm, self.length * self.bend * part * part / norm);
        [self.from[0] + along * tx - across * ty, self.from[1] + along * ty + across * tx]
    }

    fn paint(&self, film: &mut Film, density: f64) {
        let steps = ((self.length / (0.35 * self.radius)).ceil() as usize).max(1);
        for i in 0..=steps {
            let part = i as f64 / steps as f64;
            let radius = self.radius * (1.0 - 0.75 * part);
            film.dab(self.at(part), radius, 0.32 * density * (1.0 - 0.6 * part));
        }
    }
}

/// What a ray meets.
#[derive(Clone, Copy, Debug, Default)]
struct Tissue {
    density: f64,
    /// Share of lung, from 0 to 1.
    lung: f64,
    /// Share of body, from 0 to 1.
    body: f64,
}

/// The picture, row by row.
struct Film {
    height: usize,
    width: usize,
    tissue: Vec<Tissue>,
}

impl Film {
    fn new(height: usize, width: usize) -> Self {
        Self { height, width, tissue: vec![Tissue::default(); height * width] }
    }

    fn fill(&mut self, at: impl Fn(f64, f64) -> Tissue) {
        let (h, w) = (self.height as f64, self.width as f64);
        for (row, tissues) in self.tissue.chunks_exact_mut(self.width).enumerate() {
            for (column, tissue) in tissues.iter_mut().enumerate() {
                *tissue = at((column as f64 + 0.5) / w, (row as f64 + 0.5) / h);
            }
        }
    }

    fn paint_columns(&mut self, mut paint: impl FnMut(&mut Self, f64)) {
        for column in 0..self.width {
            paint(self, (column as f64 + 0.5) / self.width as f64);
        }
    }

    /// Adds a vertical section through a bone: a band around y, with denser edges (the cortex).
    fn band(&mut self, x: f64, y: f64, half: f64, density: f64, cortex: f64) {
        let (h, column) = (self.height as f64, (x * self.width as f64) as usize);
        // Never thinner than a pixel, and then fainter: no gaps in small pictures.
        let drawn = half.max(0.75 / h);
        let density = density * half / drawn;
        let rows = ((y - drawn) * h).floor().max(0.0) as usize..=((y + drawn) * h).ceil().max(0.0) as usize;
        for row in rows.start().to_owned()..=(*rows.end()).min(self.height - 1) {
            let t = (((row as f64 + 0.5) / h - y) / drawn).abs();
            let profile = (1.0 - cortex) + cortex * t * t;
            let tissue = &mut self.tissue[row * self.width + column];
            tissue.density += density * tissue.body * profile * smooth((1.0 - t) / 0.35);
        }
    }

    /// Adds a soft spot where the mask allows.
    fn dab(&mut self, [x, y]: [f64; 2], radius: f64, density: f64) {
        let (h, w) = (self.height as f64, self.width as f64);
        let drawn = [radius.max(0.8 / w), radius.max(0.8 / h)];
        let density = density * (radius / drawn[0]) * (radius / drawn[1]).min(1.0);
        let range = |centre: f64, reach: f64, size: f64| {
            let low = ((centre - reach) * size - 0.5).ceil().max(0.0);
            let high = ((centre + reach) * size - 0.5).floor().min(size - 1.0);
            low as usize..if high < low { low as usize } else { high as usize + 1 }
        };
        for row in range(y, drawn[1], h) {
            for column in range(x, drawn[0], w) {
                let (dx, dy) = (((column as f64 + 0.5) / w - x) / drawn[0], ((row as f64 + 0.5) / h - y) / drawn[1]);
                let i = row * self.width + column;
                self.tissue[i].density += density * (1.0 - dx * dx - dy * dy).max(0.0) * self.tissue[i].lung;
            }
        }
    }

    /// 8-bit grey values: contrast, fine grain and soft mottle.
    fn expose(&self, anatomy: &Anatomy, stream: &mut Rng) -> Vec<u8> {
        let mottle: Vec<f64> = (0..81).map(|_| 0.012 * stream.normal()).collect();
        let at = |row: usize, column: usize| mottle[row.min(8) * 9 + column.min(8)];
        let mut pixels = Vec::with_capacity(self.tissue.len());
        for row in 0..self.height {
            let v = 8.0 * row as f64 / self.height as f64;
            let (r, fv) = (v as usize, smooth(v.fract()));
            for column in 0..self.width {
                let u = 8.0 * column as f64 / self.width as f64;
                let (c, fu) = (u as usize, smooth(u.fract()));
                let upper = at(r, c) * (1.0 - fu) + at(r, c + 1) * fu;
                let lower = at(r + 1, c) * (1.0 - fu) + at(r + 1, c + 1) * fu;
                let density = self.tissue[row * self.width + column].density.max(0.0);
                // Air stays black; the film's shoulder holds dense parts below white.
                let dense = (density + (upper * (1.0 - fv) + lower * fv) * smooth(density / 0.1)) * 1.12;
                let toe = dense / (0.75 + 0.45 * dense);
                let grain = anatomy.grain * stream.normal() * (0.4 + toe);
                let grey = 0.5 + anatomy.contrast * (toe - 0.5) + anatomy.brightness * smooth(density / 0.1);
                pixels.push(to_u8((grey + grain) as f32));
            }
        }
        pixels
    }
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn a_phantom_follows_from_its_seed_and_number() {
        let first = draw(1, 2, 64, 64);
        assert_eq!(first, draw(1, 2, 64, 64));
        assert_ne!(first, draw(1, 3, 64, 64));
        assert_ne!(first, draw(2, 2, 64, 64));
    }

    #[test]
    fn any_size_is_drawn() {
        for (height, width) in [(8, 8), (9, 31), (64, 48), (300, 256)] {
            let pixels = draw(0, 0, height, width);
            assert_eq!(pixels.len(), height * width);
            let (low, high) = (pixels.iter().min().copied(), pixels.iter().max().copied());
            assert!(low < Some(90) && high > Some(120), "{height}x{width}: {low:?} to {high:?}");
        }
    }

    #[test]
    fn the_heart_is_on_the_right_of_the_picture() {
        let side = 128;
        let mut difference = 0.0;
        for index in 0..20 {
            let pixels = draw(3, index, side, side);
            // Beside the spine, at the height of the heart.
            let mean = |columns: std::ops::Range<usize>| -> f64 {
                let rows = side * 55 / 100..side * 65 / 100;
                let n = (rows.len() * columns.len()) as f64;
                rows.flat_map(|r| columns.clone().map(move |c| (r, c)))
                    .map(|(r, c)| f64::from(pixels[r * side + c]))
                    .sum::<f64>()
                    / n
            };
            difference += mean(side * 60 / 100..side * 66 / 100) - mean(side * 34 / 100..side * 40 / 100);
        }
        // A lung of about 90 against a heart of about 190 grey levels.
        assert!(difference / 20.0 > 40.0, "{}", difference / 20.0);
    }
}
