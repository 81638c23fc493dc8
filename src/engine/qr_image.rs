//! QR symbols drawn as pictures, from a text to bytes. It doesn't know what the text means.

use qrcode::{Color, EcLevel, QrCode};

/// How much of a symbol may be dirty or torn and still be read. More of it needs more modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ErrorCorrection {
    /// 7 %
    Low,
    /// 15 %: what UPI apps and stickers commonly use.
    #[default]
    Medium,
    /// 25 %
    Quartile,
    /// 30 %
    High,
}

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("there is nothing to draw: the text is empty")]
    Empty,
    #[error("the text has {bytes} bytes, more than a QR symbol with this error correction holds")]
    TextTooLong { bytes: usize },
    #[error("an image of {size_pixels} pixels is not within {SIZE_MIN_PIXELS} to {SIZE_MAX_PIXELS}")]
    Size { size_pixels: u32 },
    #[error("an image of {size_pixels} pixels is too small for this text: it needs {needed_pixels}")]
    TooSmall { size_pixels: u32, needed_pixels: u32 },
}

/// Below it no link fits; above it a picture only costs memory.
pub const SIZE_MIN_PIXELS: u32 = 64;
pub const SIZE_MAX_PIXELS: u32 = 2048;

/// The white border, in modules, without which readers don't find the symbol.
const QUIET_ZONE: u32 = 4;

/// A PNG of exactly `size_pixels` squared, black on white, one bit a pixel. Modules have a whole
/// number of pixels, for blurred edges are what cameras fail at; what is left over is border.
pub fn png(text: &str, size_pixels: u32, correction: ErrorCorrection) -> Result<Vec<u8>, ImageError> {
    let symbol = Symbol::of(text, correction)?;
    let scale = symbol.scale(size_pixels)?;
    let border = (size_pixels - symbol.width * scale) / 2;

    let row_bytes = size_pixels.div_ceil(8) as usize;
    let mut pixels = vec![0xFF; row_bytes * size_pixels as usize];
    for y in 0..symbol.width * scale {
        let row = (border + y) as usize * row_bytes;
        for x in 0..symbol.width * scale {
            if symbol.is_dark(x / scale, y / scale) {
                let at = (border + x) as usize;
                pixels[row + at / 8] &= !(0x80 >> (at % 8));
            }
        }
    }
    Ok(encode(size_pixels, &pixels))
}

/// An SVG of `size_pixels` squared that stays sharp at any other size.
pub fn svg(text: &str, size_pixels: u32, correction: ErrorCorrection) -> Result<String, ImageError> {
    let symbol = Symbol::of(text, correction)?;
    symbol.scale(size_pixels)?;
    let view = symbol.width + 2 * QUIET_ZONE;
    let mut path = String::new();
    for y in 0..symbol.width {
        let mut x = 0;
        while x < symbol.width {
            let run = (x..symbol.width).take_while(|x| symbol.is_dark(*x, y)).count() as u32;
            if run > 0 {
                path.push_str(&format!("M{} {}h{run}v1h-{run}z", x + QUIET_ZONE, y + QUIET_ZONE));
            }
            x += run.max(1);
        }
    }
    Ok(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{size_pixels}" height="{size_pixels}" viewBox="0 0 {view} {view}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{view}v{view}h-{view}z"/><path fill="#000" d="{path}"/></svg>
"##
    ))
}

/// For a terminal: two modules a character cell, and colours said outright, because most terminals
/// are dark and few readers take a symbol that is white on black. The colours are numbers of the
/// 256-colour table, which a terminal's theme leaves alone.
pub fn terminal(text: &str) -> Result<String, ImageError> {
    const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
    const RESET: &str = "\x1b[0m";
    // Nothing gets dirty on a screen, and a small symbol fits on more of them.
    let symbol = Symbol::of(text, ErrorCorrection::Low)?;
    let view = symbol.width + 2 * QUIET_ZONE;
    let mut drawn = String::new();
    for y in (0..view).step_by(2) {
        drawn.push_str(BLACK_ON_WHITE);
        for x in 0..view {
            drawn.push(match (symbol.is_dark_in_view(x, y), symbol.is_dark_in_view(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
        }
        drawn.push_str(RESET);
        drawn.push('\n');
    }
    Ok(drawn)
}

struct Symbol {
    /// Modules a side, without the quiet zone.
    width: u32,
    modules: Vec<Color>,
}

impl Symbol {
    fn of(text: &str, correction: ErrorCorrection) -> Result<Symbol, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        let level = match correction {
            ErrorCorrection::Low => EcLevel::L,
            ErrorCorrection::Medium => EcLevel::M,
            ErrorCorrection::Quartile => EcLevel::Q,
            ErrorCorrection::High => EcLevel::H,
        };
        // With version and character set left to the crate, length is all that can be wrong.
        let code = QrCode::with_error_correction_level(text, level).map_err(|_| ImageError::TextTooLong { bytes: text.len() })?;
        let width = code.width() as u32;
        Ok(Symbol { width, modules: code.into_colors() })
    }

    /// Pixels a module.
    fn scale(&self, size_pixels: u32) -> Result<u32, ImageError> {
        if !(SIZE_MIN_PIXELS..=SIZE_MAX_PIXELS).contains(&size_pixels) {
            return Err(ImageError::Size { size_pixels });
        }
        let needed_pixels = self.width + 2 * QUIET_ZONE;
        match size_pixels / needed_pixels {
            0 => Err(ImageError::TooSmall { size_pixels, needed_pixels }),
            scale => Ok(scale),
        }
    }

    fn is_dark(&self, x: u32, y: u32) -> bool {
        self.modules[(y * self.width + x) as usize] == Color::Dark
    }

    /// With the quiet zone, and light below the last row of it.
    fn is_dark_in_view(&self, x: u32, y: u32) -> bool {
        let within = QUIET_ZONE..QUIET_ZONE + self.width;
        within.contains(&x) && within.contains(&y) && self.is_dark(x - QUIET_ZONE, y - QUIET_ZONE)
    }
}

fn encode(size_pixels: u32, pixels: &[u8]) -> Vec<u8> {
    const WHY: &str = "writing to a Vec can't fail, and the pixels fit the header";
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size_pixels, size_pixels);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().expect(WHY);
    writer.write_image_data(pixels).expect(WHY);
    writer.finish().expect(WHY);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "upi://pay?ver=01&mode=15&pa=demostores.qr@examplebank&pn=Demo%20Stores&mc=5411&tr=ORD20260101000123&tn=Order%20123&am=499.50&cu=INR&qrMedium=06";

    /// The picture's pixels, `true` for black.
    fn pixels(bytes: &[u8]) -> Vec<Vec<bool>> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let info = reader.info();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::One));
        let (width, row_bytes) = (info.width as usize, info.width.div_ceil(8) as usize);
        let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut buffer).unwrap();
        buffer.chunks(row_bytes).map(|row| (0..width).map(|x| row[x / 8] & (0x80 >> (x % 8)) == 0).collect()).collect()
    }

    fn has_modules_of(symbol: &Symbol, size: u32) {
        let pixels = pixels(&png(LINK, size, ErrorCorrection::Medium).unwrap());
        assert_eq!((pixels.len(), pixels[0].len()), (size as usize, size as usize));
        let scale = symbol.scale(size).unwrap();
        let border = (size - symbol.width * scale) / 2;
        assert!(border >= QUIET_ZONE * scale, "{size}: the quiet zone is whole");
        for y in 0..size {
            for x in 0..size {
                let within = |at: u32| (border..border + symbol.width * scale).contains(&at);
                let expected = within(x) && within(y) && symbol.is_dark((x - border) / scale, (y - border) / scale);
                assert_eq!(pixels[y as usize][x as usize], expected, "{size}: {x}, {y}");
            }
        }
    }

    #[test]
    fn a_png_shows_every_module_and_has_exactly_the_size_asked_for() {
        let symbol = Symbol::of(LINK, ErrorCorrection::Medium).unwrap();
        for size in [64, 100, 255, 256, 300, 512, 2048] {
            has_modules_of(&symbol, size);
        }
    }

    #[test]
    fn more_error_correction_needs_more_modules() {
        use ErrorCorrection::{High, Low, Medium, Quartile};
        let widths = [Low, Medium, Quartile, High].map(|level| Symbol::of(LINK, level).unwrap().width);
        assert!(widths.is_sorted(), "{widths:?}");
        assert!(widths[0] < widths[3]);
    }

    #[test]
    fn sizes_have_limits() {
        let size = |size_pixels| png(LINK, size_pixels, ErrorCorrection::High).unwrap_err();
        assert_eq!(size(0), ImageError::Size { size_pixels: 0 });
        assert_eq!(size(63), ImageError::Size { size_pixels: 63 });
        assert_eq!(size(2049), ImageError::Size { size_pixels: 2049 });
        assert_eq!(size(u32::MAX), ImageError::Size { size_pixels: u32::MAX });
        let needed_pixels = Symbol::of(LINK, ErrorCorrection::High).unwrap().width + 8;
        assert_eq!(size(64), ImageError::TooSmall { size_pixels: 64, needed_pixels });
        assert_eq!(svg(LINK, 64, ErrorCorrection::High), Err(size(64)));
    }

    #[test]
    fn a_text_that_does_not_fit_is_an_error() {
        let long = "a".repeat(3000);
        let error = ImageError::TextTooLong { bytes: 3000 };
        assert_eq!(png(&long, 512, ErrorCorrection::Low), Err(error));
        assert_eq!(terminal(&long), Err(error));
        assert_eq!(terminal(""), Err(ImageError::Empty));
    }

    #[test]
    fn an_svg_covers_exactly_the_dark_modules() {
        let symbol = Symbol::of(LINK, ErrorCorrection::Medium).unwrap();
        let drawn = svg(LINK, 300, ErrorCorrection::Medium).unwrap();
        let view = symbol.width + 8;
        assert!(drawn.contains(&format!(r#"width="300" height="300" viewBox="0 0 {view} {view}""#)));
        let path = drawn.split("d=\"").nth(2).unwrap().split('"').next().unwrap();
        let mut dark = vec![false; (view * view) as usize];
        for run in path.split('M').skip(1) {
            let (start, rest) = run.split_once('h').unwrap();
            let (x, y) = start.split_once(' ').unwrap();
            let [x, y, run]: [u32; 3] = [x, y, rest.split('v').next().unwrap()].map(|n| n.parse().unwrap());
            (x..x + run).for_each(|x| dark[(y * view + x) as usize] = true);
        }
        for y in 0..view {
            for x in 0..view {
                assert_eq!(dark[(y * view + x) as usize], symbol.is_dark_in_view(x, y), "{x}, {y}");
            }
        }
    }

    #[test]
    fn a_terminal_shows_every_module_with_its_border() {
        let symbol = Symbol::of(LINK, ErrorCorrection::Low).unwrap();
        let drawn = terminal(LINK).unwrap();
        let view = symbol.width + 8;
        assert_eq!(drawn.lines().count() as u32, view.div_ceil(2));
        for (row, line) in drawn.lines().enumerate() {
            let cells = line.strip_prefix("\x1b[38;5;16;48;5;231m").unwrap().strip_suffix("\x1b[0m").unwrap();
            assert_eq!(cells.chars().count() as u32, view);
            for (x, cell) in cells.chars().enumerate() {
                let (x, y) = (x as u32, row as u32 * 2);
                assert_eq!(matches!(cell, '▀' | '█'), symbol.is_dark_in_view(x, y), "{x}, {y}");
                assert_eq!(matches!(cell, '▄' | '█'), symbol.is_dark_in_view(x, y + 1), "{x}, {y}");
            }
        }
    }
}
