//! Thorax phantoms: drawings with the anatomy of a frontal chest X-ray, to try the trainer without data. They are not
//! X-rays.
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
    let vessels = anatomy.vessels(height, width, &mut stream);
    let mottle: Vec<f64> = (0..81).map(|_| 0.012 * stream.normal()).collect();
    let [h, w] = [height as f64, width as f64];
    let bones: Vec<Vec<Bone>> = (0..width).map(|column| anatomy.bones((column as f64 + 0.5) / w, 1.0 / h)).collect();
    let mut pixels = Vec::with_capacity(height * width);
    for row in 0..height {
        let y = (row as f64 + 0.5) / h;
        for (column, bones) in bones.iter().enumerate() {
            let x = (column as f64 + 0.5) / w;
            let [tissue, air, skin] = anatomy.at(x, y);
            let bones: f64 = bones.iter().map(|bone| bone.density(y)).sum();
            let density = (tissue + vessels[pixels.len()] * air + bones * skin).max(0.0);
            // Air around the body stays black; the film's shoulder holds dense parts below white.
            let body = smooth(density / 0.1);
            let dense = (density + bilinear(&mottle, 8.0 * (x - 0.5 / w), 8.0 * (y - 0.5 / h)) * body) * 1.12;
            let toe = dense / (0.75 + 0.45 * dense);
            let grain = anatomy.grain * stream.normal() * (0.4 + toe);
            let grey = 0.5 + anatomy.contrast * (toe - 0.5) + anatomy.brightness * body + grain;
            pixels.push(to_u8(grey as f32));
        }
    }
    pixels
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
    blob(t, 0.0)
}

/// 1 at the origin, falling smoothly to 0 on the unit circle.
fn blob(u: f64, v: f64) -> f64 {
    (1.0 - u * u - v * v).max(0.0).powi(2)
}

/// A smooth surface over a grid of 9×9 values, at a place from 0 to 8.
fn bilinear(grid: &[f64], u: f64, v: f64) -> f64 {
    let at = |row: usize| {
        let (left, part) = (&grid[row * 9 + u as usize..], smooth(u.fract()));
        left[0] * (1.0 - part) + left[1] * part
    };
    let part = smooth(v.fract());
    at(v as usize) * (1.0 - part) + at(v as usize + 1) * part
}

/// A section through a bone, from top to bottom.
struct Bone {
    axis: f64,
    half: f64,
    density: f64,
    /// By how much its edge is denser.
    cortex: f64,
}

impl Bone {
    fn density(&self, y: f64) -> f64 {
        let distance = (y - self.axis).abs();
        if distance >= self.half {
            return 0.0;
        }
        let t = distance / self.half;
        self.density * (1.0 - self.cortex + self.cortex * t * t) * smooth((1.0 - t) / 0.35)
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

    /// Distance of the chest wall's inner side from the midline.
    fn chest_wall(&self, y: f64) -> f64 {
        let down = ((y - self.lung_top) / 0.62).clamp(0.0, 1.0);
        self.lung_width * (1.0 - (1.0 - down).powi(3)).max(0.0).sqrt() * (0.93 + 0.07 * down)
    }

    /// Height of the diaphragm at a signed distance from the midline.
    fn diaphragm(&self, offset: f64) -> f64 {
        let right = smooth(0.5 + offset / 0.16);
        let from_top = (offset.abs() - 0.48 * self.lung_width) / self.lung_width;
        let falls = if from_top > 0.0 { 2.6 } else { 0.7 };
        self.domes[0] * (1.0 - right) + self.domes[1] * right + self.dome_curve * falls * from_top * from_top
    }

    /// Share of heart and great vessels, from 0 to 1: blobs that flow into each other.
    fn heart(&self, offset: f64, y: f64) -> f64 {
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

    /// Density of everything but bones of the chest and the lungs' vessels; shares of lung and of body, from 0 to 1.
    fn at(&self, x: f64, y: f64) -> [f64; 3] {
        let offset = x - self.midline - self.lean * (y - 0.5);
        let out = offset.abs();
        // Neck, shoulders, and arms raised out of the picture.
        let neck = 0.115;
        let reach = self.body - 0.03 * smooth((y - 0.45) / 0.5);
        let slope = (y - 0.01 - 0.7 * self.shoulder * out) / (self.shoulder + 0.32 * out);
        let half_width = neck + (reach - neck) * smooth(slope);
        let skin = inside(half_width - out, 0.008);
        let depth = (1.0 - (out / half_width).min(1.0).powi(2)).sqrt();
        let axilla = 0.10 * bump((out - 0.44) / 0.12) * bump((y - 0.30) / 0.28);
        let soft = skin * (0.20 + 0.42 * depth + axilla);

        let (diaphragm, heart) = (self.diaphragm(offset), self.heart(offset, y));
        let medial = 0.044 + 0.022 * bump((y - 0.42) / 0.16) + 0.03 * (y - 0.2).max(0.0);
        let air = inside(self.chest_wall(y) - out, 0.016)
            * inside(out - medial, 0.024)
            * inside(diaphragm - y, 0.012)
            * inside(y - self.lung_top, 0.02)
            * (1.0 - 0.96 * heart);
        let centre = (out / self.lung_width - 0.52) / 0.75;
        let lung = air * (0.30 + 0.10 * bump(centre) - 0.05 * smooth((y - 0.45) / 0.4));

        let below = inside(y - diaphragm, 0.02) * inside(self.lung_width + 0.03 - out, 0.05);
        // The liver is on the left of the picture, the stomach's bubble of air on the right.
        let abdomen = below * (0.13 + 0.02 * (1.0 - out / 0.4).clamp(0.0, 2.0));
        let bubble = blob((offset - 0.2) / 0.13, (y - self.domes[1] - 0.085) / 0.055);
        let stomach = 3.0 * self.stomach * bubble * below;

        let mediastinum = 0.15 * bump(out / (0.095 + 0.02 * bump((y - 0.25) / 0.2))) * smooth((y - 0.02) / 0.2);
        let disc = ((y / 0.042).fract() - 0.5).abs();
        let vertebrae = 0.75 + 0.25 * smooth((0.5 - disc) * 8.0);
        let spine = 0.085 * inside(0.036 + 0.008 * y - out, 0.012) * vertebrae * smooth((y - 0.05) / 0.1);
        let trachea = 0.15 * bump(offset / 0.027) * smooth((y + 0.02) / 0.06) * (1.0 - smooth((y - 0.26) / 0.1));
        let bronchi = 0.05 * bump((y - 0.345 - 0.55 * out) / 0.02) * inside(0.09 - out, 0.02) * inside(y - 0.33, 0.02);
        let dense = soft + abdomen + 0.07 * heart * (1.0 - 0.7 * below) + mediastinum + spine;
        [dense - lung - stomach - trachea - bronchi, air, skin]
    }

    /// Ribs and clavicles at a place across the picture, with `pixel` the height of one.
    fn bones(&self, x: f64, pixel: f64) -> Vec<Bone> {
        let out = (x - self.midline).abs();
        let mut bones = Vec::new();
        // A rib leaves the spine, arches to the chest wall, and comes back in front, lower and fainter.
        for number in 0..10 {
            let k = f64::from(number);
            let (root, half) = (self.lung_top - 0.005 + k * self.rib_pitch, 0.0125 + 0.0006 * k);
            let reach = self.chest_wall(root + 0.08) + 0.012;
            let sag = self.rib_slope * (0.35 + 0.05 * k);
            let posterior = |part: f64| root + reach * (sag * part.powi(3) + 0.10 * (part * part - part));
            let part = out / reach;
            if part > 1.0 {
                continue;
            }
            // Bone is seen edge-on at the wall, and hides in the mediastinum and below the diaphragm.
            let axis = posterior(part);
            let seen = smooth((part - 0.06) / 0.2) * (1.0 - 0.75 * smooth((axis - self.domes[0]) / 0.06));
            let density = self.rib_density * seen * (0.75 + 0.7 * part.powi(3));
            bones.push(Bone { axis, half, density, cortex: 0.55 });
            let inward = 1.0 - part;
            let axis = posterior(1.0) + (0.10 + 0.012 * k) * (2.0 * inward - 1.1 * inward * inward).max(0.0);
            let seen = smooth((part - 0.30) / 0.2) * (1.0 - smooth((axis - self.domes[0]) / 0.05));
            let density = if number < 7 { 0.62 * self.rib_density * seen } else { 0.0 };
            bones.push(Bone { axis, half: 1.15 * half, density, cortex: 0.35 });
        }
        // A clavicle is an S: down to the sternum, up towards the shoulder.
        let part = (out - 0.035) / 0.36;
        let wave = part * (1.0 - part) * (1.0 - 2.0 * part);
        let axis = self.clavicle_at + 0.02 - self.clavicle_rise * part - 0.25 * wave;
        let density = 0.12 * smooth(part / 0.04) * smooth((1.0 - part) / 0.05);
        bones.push(Bone { axis, half: 0.0165 + 0.006 * bump(part / 0.25), density, cortex: 0.45 });
        bones.retain(|bone| bone.density > 0.0);
        for bone in &mut bones {
            // Never thinner than a pixel, and then fainter: no gaps in small pictures.
            let half = bone.half.max(0.75 * pixel);
            bone.density *= bone.half / half;
            bone.half = half;
        }
        bones
    }

    /// Density of the vessels that branch from the hila into the lungs, pixel by pixel.
    fn vessels(&self, height: usize, width: usize, stream: &mut Rng) -> Vec<f64> {
        let mut film = vec![0.0; height * width];
        let mut paint =
            |vessel: &Vessel, density| vessel.paint(&mut film, height, width, 0.32 * density * self.vessels);
        for side in [-1.0, 1.0] {
            let hilum = [self.midline + side * 0.075, 0.4225 - side * 0.0075];
            for i in 0..15 {
                let turn = -1.1 + 2.35 * (f64::from(i) + 0.6 * stream.uniform()) / 14.0;
                let length = 0.16 + 0.14 * stream.uniform();
                let towards = [side * (1.0 - 0.55 * turn * turn).max(0.12), turn];
                let bend = 0.5 * (stream.uniform() - 0.5);
                let vessel = Vessel { from: [hilum[0], hilum[1] + 0.04 * turn], towards, bend, length, radius: 0.0115 };
                paint(&vessel, 1.0);
                // A branch on the way.
                let fork = if stream.uniform() < 0.5 { -0.7 } else { 0.7 };
                let [tx, ty] = towards;
                let towards = [tx - fork * ty, ty + fork * tx];
                let bend = 0.4 * (stream.uniform() - 0.5);
                paint(&Vessel { from: vessel.at(0.45), towards, bend, length: 0.6 * length, radius: 0.006 }, 0.8);
            }
            paint(&Vessel { from: hilum, towards: [side * 0.3, 1.0], bend: 0.1, length: 0.07, radius: 0.04 }, 0.9);
        }
        film
    }
}

/// A bent line that tapers to nothing.
struct Vessel {
    from: [f64; 2],
    towards: [f64; 2],
    bend: f64,
    length: f64,
    radius: f64,
}

impl Vessel {
    fn at(&self, part: f64) -> [f64; 2] {
        let [tx, ty] = self.towards;
        let along = self.length * part / (tx * tx + ty * ty).sqrt();
        let across = along * self.bend * part;
        [self.from[0] + along * tx - across * ty, self.from[1] + along * ty + across * tx]
    }

    /// Adds soft spots along the line, none of them smaller than a pixel.
    fn paint(&self, film: &mut [f64], height: usize, width: usize, density: f64) {
        let [h, w] = [height as f64, width as f64];
        let steps = (self.length / (0.35 * self.radius)).ceil();
        for part in (0..=steps as usize).map(|i| i as f64 / steps) {
            let [x, y] = self.at(part);
            let radius = self.radius * (1.0 - 0.75 * part);
            let [rx, ry] = [radius.max(0.8 / w), radius.max(0.8 / h)];
            let density = density * (1.0 - 0.6 * part) * (radius / rx) * (radius / ry);
            let range = |at: f64, reach: f64, size: f64| {
                let place = |v: f64| (v * size - 0.5).ceil().clamp(0.0, size) as usize;
                place(at - reach)..place(at + reach)
            };
            for row in range(y, ry, h) {
                for column in range(x, rx, w) {
                    let (dx, dy) = (((column as f64 + 0.5) / w - x) / rx, ((row as f64 + 0.5) / h - y) / ry);
                    film[row * width + column] += density * (1.0 - dx * dx - dy * dy).max(0.0);
                }
            }
        }
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
