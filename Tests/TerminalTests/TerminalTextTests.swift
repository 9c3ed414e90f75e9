import Testing

@testable import Terminal

@Suite struct TerminalTextTests {
    @Test(arguments: [
        ("plain ümläut 日本", "plain ümläut 日本"),
        ("\u{1b}[31mred\u{1b}[0m", "red"),
        ("\u{1b}[2J\u{1b}[Hgone", "gone"),
        ("\u{1b}[38;2;1;2;3mx\u{1b}[?25ly", "xy"),
        ("title\u{1b}]0;evil title\u{7}end", "titleend"),
        ("link\u{1b}]8;;http://evil\u{1b}\\text\u{1b}]8;;\u{1b}\\end", "linktextend"),
        ("dcs\u{1b}P1$r0m\u{1b}\\end", "dcsend"),
        ("charset\u{1b}(0end", "charsetend"),
        ("reset\u{1b}cend", "resetend"),
        ("c1 \u{9b}31mred \u{9d}0;title\u{9c}end", "c1 red end"),
        ("cut off \u{1b}", "cut off "),
        ("cut off \u{1b}[", "cut off "),
        ("cut off \u{1b}]0;never ends", "cut off "),
        ("twice \u{1b}\u{1b}[31mred", "twice red"),
        ("bell\u{7} back\u{8} del\u{7f} nul\0", "bell back del nul"),
        ("a\nb\tc\r\nd", "a b c d"),
        ("bidi \u{202e}gnp.exe\u{2066}", "bidi gnp.exe"),
        ("", ""),
    ])
    func controlsOfStrangersGo(text: String, expected: String) {
        #expect(TerminalText.line(text) == expected)
    }

    @Test func blocksKeepTheirLines() {
        #expect(TerminalText.block("one\n\u{1b}[1mtwo\r\n\n\u{1b}]0;x") == "one\ntwo\n\n")
        // A sequence that does not end must not swallow the next line.
        #expect(TerminalText.block("\u{1b}]0;open\nsecond") == "\nsecond")
    }

    @Test func whateverComesNothingDangerousIsLeft() {
        var state: UInt64 = 1
        let alphabet: [Unicode.Scalar] = [
            "\u{1b}", "[", "]", "P", "\\", "\u{7}", "\u{9b}", "\u{9d}", "\u{9c}", "m", "0", ";", "a", "\n", "\r", "(",
            " ",
        ]
        for _ in 0..<5000 {
            var text = ""
            for _ in 0..<12 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                text.unicodeScalars.append(alphabet[Int(state >> 33) % alphabet.count])
            }
            let safe = TerminalText.line(text)
            #expect(
                !safe.unicodeScalars.contains { $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) },
                "\(text.debugDescription)")
        }
    }

    @Test(arguments: [
        ("abc", 3), ("äöü", 3), ("日本", 4), ("e\u{301}", 1), ("👩‍👩‍👧", 2), ("🇩🇪", 2), ("✓", 1), ("", 0), ("한", 2),
    ])
    func widthsAreThoseOfTerminals(text: String, width: Int) {
        #expect(TerminalText.width(text) == width)
    }

    @Test(arguments: [
        ("short", 10, "short"), ("exactly10!", 10, "exactly10!"), ("longer than", 6, "longe…"), ("日本語", 4, "日…"),
        ("ab", 1, "…"), ("ab", 0, ""),
    ])
    func longTextsAreShortened(text: String, columns: Int, expected: String) {
        #expect(TerminalText.shortened(text, to: columns) == expected)
    }

    @Test(
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (123_456_789, "123 MB"),
            (999_949, "1.0 MB"),
            (999_400, "999 kB"), (9_223_372_036_854_775_807, "9.2 EB"), (-1500, "-1.5 kB"),
        ] as [(Int64, String)])
    func bytesInWords(bytes: Int64, words: String) {
        #expect(ByteCount(bytes).inWords == words)
    }

    @Test func tablesAlign() {
        var table = TextTable(header: ["NAME", "SIZE", "PLATFORM"], alignments: [.left, .right])
        table.add(["nginx", "1.0 MB", "linux/amd64"])
        table.add(["日本", "12 B"])
        table.add(["evil\u{1b}[2J\nname", "3 B", ""])
        #expect(
            table.text == """
                NAME         SIZE  PLATFORM
                nginx      1.0 MB  linux/amd64
                日本         12 B
                evil name     3 B

                """)
        #expect(TextTable(header: ["A", "B"]).text == "A  B\n")
    }
}
