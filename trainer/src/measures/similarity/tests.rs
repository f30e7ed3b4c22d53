use super::*;

/// A saw-tooth without jumps, as in the reference below.
fn triangle(n: i64, period: i64) -> i64 {
    (n.rem_euclid(period) - period / 2).abs() * 255 / period
}

/// A made picture with noise of an amplitude.
fn picture(height: i64, width: i64, noise: i64) -> Vec<u8> {
    let pixel = |y: i64, x: i64| {
        let smooth = (triangle(3 * x + 2 * y, 197) + triangle(5 * y + x, 161)) / 2 + 40;
        let grain = ((x * 7919 + y * 104_729 + x * y * 31) % 101 - 50) * noise;
        // Python's // rounds down.
        (smooth + grain.div_euclid(50)).clamp(0, 255) as u8
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| pixel(y, x)).collect()
}

#[test]
fn figures_are_those_of_the_references() {
    // PSNR and SSIM: scikit-image 0.26 peak_signal_noise_ratio(a, b, data_range=255) and structural_similarity(a, b,
    // gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255). MS-SSIM: NumPy in float64 with
    // scipy.signal.convolve2d(mode="valid") and 2×2 means, the definition of pytorch-msssim 1.0 for even sizes.
    let rows = [
        (256, 256, 10, 32.806_931_57, 0.797_576_72, 0.980_746_41),
        (256, 256, 60, 17.262_842_27, 0.107_098_82, 0.723_703_32),
        (64, 48, 10, 32.794_901_64, 0.798_900_42, 0.969_694_65),
        (64, 48, 60, 17.259_624_19, 0.109_646_41, 0.607_007_11),
    ];
    for (height, width, noise, of_psnr, of_ssim, of_ms_ssim) in rows {
        let (a, b) = (picture(height, width, 0), picture(height, width, noise));
        let width = width as usize;
        assert!((psnr(&a, &b) - of_psnr).abs() < 1e-6, "PSNR {}", psnr(&a, &b));
        // Float32 against float64.
        assert!((ssim(&a, &b, width) - of_ssim).abs() < 1e-4, "SSIM {}", ssim(&a, &b, width));
        assert!((ms_ssim(&a, &b, width) - of_ms_ssim).abs() < 1e-4, "MS-SSIM {}", ms_ssim(&a, &b, width));
    }
}

#[test]
fn an_image_is_like_itself() {
    let image = picture(64, 64, 20);
    // 10 log₁₀(255² · 12)
    assert!((psnr(&image, &image) - 58.922_616).abs() < 1e-5);
    assert!((ssim(&image, &image, 64) - 1.0).abs() < 1e-6);
    assert!((ms_ssim(&image, &image, 64) - 1.0).abs() < 1e-6);
}

#[test]
fn small_images_take_fewer_scales_and_tiny_ones_none() {
    assert_eq!([256, 176, 175, 64, 11, 10].map(|side| scales(side, side)), [5, 5, 4, 3, 1, 0]);
    let image = vec![0; 100];
    let set = Images { height: 10, width: 10, pixels: vec![&image; 4] };
    assert!(pairwise(&set, &set).expect_err("too small").0.contains("11×11"));
}

#[test]
fn equal_images_are_not_diverse() {
    let (same, other) = (picture(64, 64, 5), picture(64, 64, 60));
    let set = |pixels| Images { height: 64, width: 64, pixels };
    let alike = diversity(&set(vec![&same; 8]), 100, 100, 0).expect("enough");
    assert!((alike.value - 1.0).abs() < 1e-6);
    let mixed = diversity(&set(vec![&same, &other, &same, &other, &same, &other]), 100, 100, 0).expect("enough");
    assert!(mixed.value < alike.value);
    assert!(diversity(&set(vec![&same; 3]), 100, 100, 0).is_err());
}
