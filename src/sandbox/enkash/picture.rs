//! QR codes as EnKash shows them: a PNG in base64, without the `data:` prefix.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qrcode::{Color, QrCode};

/// Modules of light around a code, without which it can't be scanned.
const QUIET_ZONE: usize = 4;
/// Pixels a module.
const SCALE: usize = 4;
const LIGHT: u8 = 255;
const DARK: u8 = 0;

pub fn base64_png(text: &str) -> String {
    let code = QrCode::new(text).expect("our texts have a few hundred bytes, and a code holds more than two thousand");
    let width = code.width();
    let modules = code.to_colors();
    let side = (width + 2 * QUIET_ZONE) * SCALE;
    let is_dark = |x: usize, y: usize| {
        let within = QUIET_ZONE..QUIET_ZONE + width;
        let (x, y) = (x / SCALE, y / SCALE);
        within.contains(&x) && within.contains(&y) && modules[(y - QUIET_ZONE) * width + x - QUIET_ZONE] == Color::Dark
    };
    let pixels: Vec<u8> = (0..side * side).map(|at| if is_dark(at % side, at / side) { DARK } else { LIGHT }).collect();
    STANDARD.encode(encode(side, &pixels))
}

fn encode(side: usize, pixels: &[u8]) -> Vec<u8> {
    const WHY: &str = "writing to a Vec can't fail, and the pixels fit the header";
    let side = u32::try_from(side).expect("a code has 177 modules a side at most");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect(WHY);
    writer.write_image_data(pixels).expect(WHY);
    writer.finish().expect(WHY);
    bytes
}
