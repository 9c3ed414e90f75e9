import Report
import TestSupport
import Testing
import YAML

@Suite("YAML: reading")
struct ParseTests {
    private func mistakes(_ text: String, limits: YAMLLimits = .standard) -> [String] {
        do throws(InvalidText) {
            _ = try YAMLDocuments.parse(text, file: "f", limits: limits)
            return []
        } catch {
            return error.diagnostics.map(\.description)
        }
    }

    @Test("marks count lines and columns from 1, keys keep their order")
    func marks() throws {
        let text = """
            # a comment
            zebra: 1
            ähm: {b: [x, "y"]}
            list:
              - name: é
                image: nginx
            """
        let node = try YAMLDocuments.parseOne(text, file: "f")
        #expect(node.mapping?.map(\.key) == ["zebra", "ähm", "list"])
        #expect(node.mapping?.entry("ähm")?.keyMark == YAMLMark(line: 3, column: 1))
        #expect(
            node.at("ähm", "b")?.sequence?.map(\.mark) == [
                YAMLMark(line: 3, column: 11), YAMLMark(line: 3, column: 14),
            ])
        let image = try #require(node["list"]?.sequence?.first?["image"])
        #expect(image.mark == YAMLMark(line: 6, column: 12))
        #expect(image.string == "nginx")
    }

    @Test("documents of a stream, empty ones left out, CRLF and byte order mark accepted")
    func stream() throws {
        let text = "\u{feff}---\r\na: 1\r\n---\r\n# nothing\r\n---\r\nb: 2\r\n...\r\n---\r\n~\r\n"
        let documents = try YAMLDocuments.parse(text, file: "f")
        #expect(documents == [["a": 1], ["b": 2], .null])
        #expect(documents.last?.mark == YAMLMark(line: 9, column: 1))
        #expect(try YAMLDocuments.parse("# only this\n", file: "f").isEmpty)
        #expect(try YAMLDocuments.parse("", file: "f").isEmpty)
    }

    @Test(
        "scalars mean what they mean to Kubernetes",
        arguments: [
            ("yes", .bool(true)), ("NO", .bool(false)), ("on", .bool(true)), ("y", .bool(true)),
            ("yEs", .string("yEs")),
            ("null", .null), ("~", .null), ("", .null), ("1", .integer(1)), ("-7", .integer(-7)), ("+7", .integer(7)),
            ("0755", .integer(493)), ("0o755", .integer(493)), ("0x1F", .integer(31)), ("0b101", .integer(5)),
            ("1_000", .integer(1000)), ("1.30", .float(1.3)), (".5", .float(0.5)), ("1.", .float(1)), ("08", .float(8)),
            ("1e3", .float(1000)), ("99999999999999999999", .float(1e20)), ("-x", .string("-x")),
            ("--1", .string("--1")),
            ("0x", .string("0x")), ("1.20.2", .string("1.20.2")), ("2001-01-01", .string("2001-01-01")),
            ("12:30:45", .string("12:30:45")), ("10.0.0.0/8", .string("10.0.0.0/8")), (".inf", .float(.infinity)),
            ("1e", .string("1e")), ("-.5", .float(-0.5)), ("0x-1", .string("0x-1")),
        ] as [(String, YAMLValue)]
    )
    func scalars(text: String, value: YAMLValue) throws {
        let node = try YAMLDocuments.parseOne("a: \(text)", file: "f")
        #expect(node["a"]?.scalar?.value == value)
        let quoted = try YAMLDocuments.parseOne("a: '\(text)'", file: "f")
        #expect(quoted["a"]?.scalar?.value == .string(text))
    }

    @Test("styles are kept, !!str makes a string")
    func styles() throws {
        let node = try YAMLDocuments.parseOne("a: x\nb: 'x'\nc: |\n  x\nd: !!str 1\ne: !thing 1\n", file: "f")
        #expect(node.mapping?.compactMap(\.value.scalar?.style) == [.plain, .quoted, .block, .quoted, .plain])
        #expect(node["d"]?.string == "1")
        #expect(node["e"]?.integer == 1)
    }

    @Test("anchors, aliases and merge keys")
    func anchors() throws {
        let text = """
            base: &base {image: a, tag: 1}
            other: &other {tag: 2, more: true}
            one:
              tag: 3
              <<: *base
            two: {<<: [*base, *other]}
            three: *base
            four: {"<<": 1}
            """
        let node = try YAMLDocuments.parseOne(text, file: "f")
        #expect(node["one"] == ["tag": 3, "image": "a"])
        #expect(node["two"] == ["image": "a", "tag": 1, "more": true])
        #expect(node["three"] == node["base"])
        #expect(node["four"] == ["<<": 1])
    }

    @Test(
        "mistakes are told with their place",
        arguments: [
            (
                "a: {{ .Foo }}",
                ["f:1:5: a key must be a word, here stands a mapping: a template that was not rendered?"]
            ),
            (
                "a: 1\nb: 2\na: 3\nb: 4",
                [
                    "f:3:1: the key \"a\" stands twice, first in line 1",
                    "f:4:1: the key \"b\" stands twice, first in line 2",
                ]
            ),
            ("a: *x", ["f:1:4: *x names no anchor (&x) that stands before it"]),
            ("a: &x [*x]", ["f:1:8: *x names no anchor (&x) that stands before it"]),
            ("a: &x 1\n---\nb: *x", ["f:3:4: *x names no anchor (&x) that stands before it"]),
            ("<<: 3", ["f:1:5: << takes a mapping or a list of mappings, here stands a number"]),
            ("<<: {a: 1}\n<<: {b: 1}", ["f:2:1: the merge key << stands twice in one mapping: give it a list"]),
            ("?\n: x", ["f:1:2: a key is missing before the colon"]),
        ]
    )
    func mistakesWithPlace(text: String, expected: [String]) {
        #expect(mistakes(text) == expected)
    }

    @Test(
        "a syntax error ends the stream and is told with what stood before it",
        arguments: [
            ("a: 1\na: 2\n---\nb: [1, 2\nc: 3", "f:5:2:"), ("a: \"x", "f:1:6:"), ("a:\n\t- b", "f:2:1:"),
            ("a: b: c", "f:1:5:"), ("ä: \u{1}", "f:1:4:"), ("x\n{{- if .A }}\ny: 1", "f:3:2:"),
            ("%YAML 3.0\n---\na", "f:1:"),
        ]
    )
    func syntax(text: String, place: String) {
        let found = mistakes(text)
        #expect(found.last?.hasPrefix(place) == true, "\(found)")
        #expect(found.last?.contains("not YAML: ") == true)
        if text.hasPrefix("a: 1\na") { #expect(found.count == 2) }
    }

    @Test("what asks for too much is refused: laughs, depth, nodes, bytes")
    func bombs() {
        var laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let items = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            laughs += "a\(level): &a\(level) [\(items)]\n"
        }
        #expect(mistakes(laughs).last?.contains("aliases repeat more than 100000 nodes") == true)

        let deep = String(repeating: "[", count: 900)
        #expect(mistakes(deep).last?.contains("nested deeper than 200 levels") == true)
        var ladder = "a0: &a0 [x]\n"
        for level in 1...300 { ladder += "a\(level): &a\(level) [*a\(level - 1)]\n" }
        #expect(mistakes(ladder).last?.contains("nested deeper than 200 levels") == true)

        var limits = YAMLLimits.standard
        limits.nodes = 5
        #expect(mistakes("[a, b, c, d, e, f]", limits: limits) == ["f:1:14: more than 5 nodes, the rest is not read"])
        limits.bytes = 3
        #expect(mistakes("abcd", limits: limits) == ["f:1:1: the text is larger than 3 bytes, and is not read"])
    }

    @Test("one document where one was expected")
    func parseOne() {
        #expect(throws: InvalidText.self) { try YAMLDocuments.parseOne("# none", file: "f") }
        do {
            _ = try YAMLDocuments.parseOne("a\n---\nb", file: "f")
            Issue.record("a second document was accepted")
        } catch {
            #expect("\(error)" == "f:3:1: one document was expected, here begins another")
        }
    }

    @Test("random text never crashes, and every mistake lies inside the text")
    func randomText() {
        var random = SeededGenerator(seed: 7)
        let pieces = [
            "a", ":", " ", "\n", "  ", "- ", "{", "}", "[", "]", ",", "&x ", "*x", "<<: ", "\"", "'", "|", ">", "#",
            "!", "%",
            "---\n", "? ", "é", "\t", "{{ .X }}", "\\", "\r\n", "0", "~", "@", "\u{0}", "\u{85}",
        ]
        for _ in 0..<4000 {
            let count = Int.random(in: 0..<40, using: &random)
            let text = (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let lines = text.count(where: \.isNewline) + 1
            do throws(InvalidText) {
                _ = try YAMLDocuments.parse(text, file: "f")
            } catch {
                for diagnostic in error.diagnostics {
                    let isInside =
                        (1...lines).contains(diagnostic.line) && (1...(text.count + 2)).contains(diagnostic.column)
                    #expect(isInside, "\(diagnostic) for \(text.debugDescription)")
                }
            }
        }
    }
}
