//! Directives, anchors, aliases and tags.

use std::borrow::Cow;

use super::{Scan, Scanner};
use crate::cursor::{Mark, is_word};
use crate::token::TokenKind;

impl<'a> Scanner<'a> {
    /// A whole line `%YAML 1.1` or `%TAG ! prefix`, with its comment, which nobody gets.
    pub(super) fn scan_directive(&mut self) -> Scan<()> {
        let start = self.cursor.mark;
        self.cursor.skip();
        let name = self.scan_word();
        if name.is_empty() {
            return Err(self.problem("could not find expected directive name", start));
        }
        if !self.cursor.is_blankz(0) {
            return Err(self.problem("found unexpected non-alphabetical character", start));
        }
        let kind = match name {
            "YAML" => self.scan_version(start)?,
            "TAG" => self.scan_tag_directive(start)?,
            _ => return Err(self.problem("found unknown directive name", start)),
        };
        self.push(kind, start)?;
        self.cursor.skip_blanks();
        if self.cursor.at(0) == b'#' {
            self.cursor.skip_line_rest();
        }
        if !self.cursor.is_breakz(0) {
            return Err(self.problem("did not find expected comment or line break", start));
        }
        self.cursor.read_break();
        Ok(())
    }

    fn scan_word(&mut self) -> &'a str {
        let from = self.cursor.mark.index;
        let bytes = (0..).take_while(|&ahead| is_word(self.cursor.at(ahead))).count();
        self.cursor.skip_text(bytes);
        self.cursor.slice(from, from + bytes)
    }

    fn scan_version(&mut self, start: Mark) -> Scan<TokenKind<'a>> {
        self.cursor.skip_blanks();
        let major = self.scan_version_number(start)?;
        if self.cursor.at(0) != b'.' {
            return Err(self.problem("did not find expected digit or '.' character", start));
        }
        self.cursor.skip();
        let minor = self.scan_version_number(start)?;
        Ok(TokenKind::VersionDirective { supported: (major, minor) == (1, 1) })
    }

    fn scan_version_number(&mut self, start: Mark) -> Scan<u8> {
        let mut number = 0;
        let mut digits = 0;
        while self.cursor.at(0).is_ascii_digit() {
            digits += 1;
            if digits > 2 {
                return Err(self.problem("found extremely long version number", start));
            }
            number = number * 10 + (self.cursor.at(0) - b'0');
            self.cursor.skip();
        }
        if digits == 0 {
            return Err(self.problem("did not find expected version number", start));
        }
        Ok(number)
    }

    fn scan_tag_directive(&mut self, start: Mark) -> Scan<TokenKind<'a>> {
        self.cursor.skip_blanks();
        let handle = self.scan_tag_handle(true, start)?;
        if !self.cursor.is_blank(0) {
            return Err(self.problem("did not find expected whitespace", start));
        }
        self.cursor.skip_blanks();
        let prefix = self.scan_tag_uri("", start)?;
        if !self.cursor.is_blankz(0) {
            return Err(self.problem("did not find expected whitespace or line break", start));
        }
        Ok(TokenKind::TagDirective { handle, prefix })
    }

    pub(super) fn scan_anchor(&mut self, kind: fn(&'a str) -> TokenKind<'a>) -> Scan<()> {
        let start = self.cursor.mark;
        self.cursor.skip();
        let name = self.scan_word();
        let ends = matches!(self.cursor.at(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
        if name.is_empty() || !(ends || self.cursor.is_blankz(0)) {
            return Err(self.problem("did not find expected alphabetic or numeric character", start));
        }
        self.push(kind(name), start)
    }

    pub(super) fn scan_tag(&mut self) -> Scan<()> {
        let start = self.cursor.mark;
        let (handle, suffix) =
            if self.cursor.at(1) == b'<' { self.scan_verbatim_tag(start)? } else { self.scan_short_tag(start)? };
        if !self.cursor.is_blankz(0) {
            return Err(self.problem("did not find expected whitespace or line break", start));
        }
        self.push(TokenKind::Tag { handle, suffix }, start)
    }

    /// `!<tag>`
    fn scan_verbatim_tag(&mut self, start: Mark) -> Scan<(&'a str, Cow<'a, str>)> {
        self.cursor.skip_text(2);
        let suffix = self.scan_tag_uri("", start)?;
        if self.cursor.at(0) != b'>' {
            return Err(self.problem("did not find the expected '>'", start));
        }
        self.cursor.skip();
        Ok(("", suffix))
    }

    /// `!handle!suffix`, `!suffix` or `!`
    fn scan_short_tag(&mut self, start: Mark) -> Scan<(&'a str, Cow<'a, str>)> {
        let handle = self.scan_tag_handle(false, start)?;
        if handle.len() > 1 && handle.ends_with('!') {
            return Ok((handle, self.scan_tag_uri("", start)?));
        }
        let suffix = self.scan_tag_uri(handle, start)?;
        Ok(if suffix.is_empty() { ("", Cow::Borrowed("!")) } else { ("!", suffix) })
    }

    fn scan_tag_handle(&mut self, directive: bool, start: Mark) -> Scan<&'a str> {
        if self.cursor.at(0) != b'!' {
            return Err(self.problem("did not find expected '!'", start));
        }
        let from = self.cursor.mark.index;
        self.cursor.skip();
        self.scan_word();
        if self.cursor.at(0) == b'!' {
            self.cursor.skip();
        } else if directive && self.cursor.mark.index > from + 1 {
            return Err(self.problem("did not find expected '!'", start));
        }
        Ok(self.cursor.slice(from, self.cursor.mark.index))
    }

    /// What follows `head`, which is a `!` and letters, or nothing. The `!` is not part of the result.
    fn scan_tag_uri(&mut self, head: &'a str, start: Mark) -> Scan<Cow<'a, str>> {
        let from = self.cursor.mark.index;
        let bytes = (0..).take_while(|&ahead| is_uri(self.cursor.at(ahead))).count();
        if head.is_empty() && bytes == 0 {
            return Err(self.problem("did not find expected tag URI", start));
        }
        let begins = if head.is_empty() { from } else { from - head.len() + 1 };
        let uri = self.cursor.slice(begins, from + bytes);
        if !uri.contains('%') {
            self.cursor.skip_text(bytes);
            return Ok(Cow::Borrowed(uri));
        }
        let mut decoded = self.cursor.slice(begins, from).as_bytes().to_vec();
        while is_uri(self.cursor.at(0)) {
            if self.cursor.at(0) == b'%' {
                self.scan_uri_escape(start, &mut decoded)?;
            } else {
                decoded.push(self.cursor.at(0));
                self.cursor.skip();
            }
        }
        Ok(Cow::Owned(String::from_utf8_lossy(&decoded).into_owned()))
    }

    /// One character as `%XX` for each of its bytes.
    fn scan_uri_escape(&mut self, start: Mark, decoded: &mut Vec<u8>) -> Scan<()> {
        let mut missing = 0;
        loop {
            let Some(octet) = self.uri_octet() else {
                return Err(self.problem("did not find URI escaped octet", start));
            };
            if missing == 0 {
                missing = match octet {
                    0..0x80 => 1,
                    0xC0..0xE0 => 2,
                    0xE0..0xF0 => 3,
                    0xF0..0xF8 => 4,
                    _ => return Err(self.problem("found an incorrect leading UTF-8 octet", start)),
                };
            } else if octet & 0xC0 != 0x80 {
                return Err(self.problem("found an incorrect trailing UTF-8 octet", start));
            }
            decoded.push(octet);
            self.cursor.skip_text(3);
            missing -= 1;
            if missing == 0 {
                return Ok(());
            }
        }
    }

    fn uri_octet(&self) -> Option<u8> {
        let digit = |ahead| char::from(self.cursor.at(ahead)).to_digit(16);
        if self.cursor.at(0) != b'%' {
            return None;
        }
        u8::try_from(digit(1)? << 4 | digit(2)?).ok()
    }
}

fn is_uri(byte: u8) -> bool {
    is_word(byte) || (byte != 0 && b";/?:@&=+$,.!~*'()[]%".contains(&byte))
}
