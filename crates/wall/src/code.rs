//! The code that a phone's camera reads (QR, ISO/IEC 18004), as a picture in the page.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Modules of quiet around the code, as the standard wants.
const QUIET: usize = 4;

/// The code of an address; none for one that is too long for any.
pub(crate) fn svg(address: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(address, EcLevel::M) else {
        return String::new();
    };
    let (width, colors) = (code.width(), code.to_colors());
    let size = width + 2 * QUIET;
    let mut path = String::new();
    for (at, _) in colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
        let (x, y) = (at % width + QUIET, at / width + QUIET);
        let _ = write!(path, "M{x} {y}h1v1h-1z");
    }
    format!(
        "<svg class=\"code\" viewBox=\"0 0 {size} {size}\" role=\"img\" aria-label=\"QR\" shape-rendering=\"crispEdges\">\
         <path class=\"code-paper\" d=\"M0 0h{size}v{size}h-{size}z\"/><path class=\"code-ink\" d=\"{path}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_reads_the_address() {
        for address in ["http://192.168.1.20:8080", "https://wall.example/walls/S%C3%B8r%20hall"] {
            let picture = svg(address);
            let size: usize =
                picture.split("0 0 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            let mut dark = std::collections::HashSet::new();
            for module in
                picture.split("d=\"M").last().unwrap().split('M').filter(|m| m.contains("h1"))
            {
                let (x, rest) = module.split_once(' ').unwrap();
                let y = rest.split('h').next().unwrap();
                dark.insert((x.parse::<usize>().unwrap(), y.parse::<usize>().unwrap()));
            }
            let scale = 4;
            let shade = |x, y| if dark.contains(&(x / scale, y / scale)) { 0 } else { 255 };
            let mut seen =
                rqrr::PreparedImage::prepare_from_greyscale(size * scale, size * scale, shade);
            let grids = seen.detect_grids();
            assert_eq!(grids[0].decode().unwrap().1, address);
        }
    }

    #[test]
    fn an_address_becomes_a_picture_and_a_book_does_not() {
        let picture = svg("https://wall.example/walls/lobby");
        assert!(picture.starts_with("<svg") && picture.contains("h1v1h-1z"));
        assert_eq!(svg(&"x".repeat(5_000)), "");
    }
}
