import TestSupport
import Testing
import YAML

@Suite("YAML: writing")
struct EmitTests {
    @Test("documents in block form, ambiguous words quoted, keys in their order")
    func form() {
        let document: YAMLNode = [
            "kind": "Cluster",
            "apiVersion": "sealer.io/v2",
            "count": 3,
            "flag": true,
            "nothing": .null,
            "version": "1.30",
            "mode": "0755",
            "answer": "yes",
            "date": "2026-11-23",
            "time": "12:30",
            "empty": "",
            "star": "*x",
            "url": "http://a.b/c?d=e#f",
            "cidr": "10.0.0.0/8",
            "on": "key",
            "nested": ["list": ["a", "-b", ["x": 1, "y": [:]], []], "none": []],
            "script": "set -e\necho \"hi\"\n",
            "indented": "  two\nlines",
            "tail": "a\n\n\n",
            "bell": "\u{7}é\t",
        ]
        let expected = """
            kind: Cluster
            apiVersion: sealer.io/v2
            count: 3
            flag: true
            nothing: null
            version: "1.30"
            mode: "0755"
            answer: "yes"
            date: "2026-11-23"
            time: "12:30"
            empty: ""
            star: "*x"
            url: http://a.b/c?d=e#f
            cidr: 10.0.0.0/8
            "on": key
            nested:
              list:
                - a
                - "-b"
                - x: 1
                  "y": {}
                - []
              none: []
            script: |
              set -e
              echo "hi"
            indented: |2-
                two
              lines
            tail: |+
              a


            bell: "\\x07é\\t"

            """
        #expect(document.text == expected)
    }

    @Test("several documents are parted by ---")
    func several() throws {
        let documents: [YAMLNode] = [["a": 1], "x", ["- b"], "two\nlines\n"]
        let text = YAMLNode.text(of: documents)
        #expect(try YAMLDocuments.parse(text, file: "f") == documents)
    }

    @Test("whatever is written is read back equal")
    func roundTrip() throws {
        var random = SeededGenerator(seed: 20_26)
        for _ in 0..<3000 {
            let node = Self.node(depth: 4, &random)
            let text = node.text
            let read = try YAMLDocuments.parseOne(text, file: "f")
            #expect(read == node, "\(text)")
            #expect(read.text == text)
        }
    }

    private static func node(depth: Int, _ random: inout SeededGenerator) -> YAMLNode {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 5), using: &random) {
        case 0: return YAMLNode(Int.random(in: Int.min...Int.max, using: &random))
        case 1: return YAMLNode(Bool.random(using: &random))
        case 2: return .null
        case 3, 4: return YAMLNode(string(&random))
        case 5:
            return YAMLNode((0..<Int.random(in: 0..<4, using: &random)).map { _ in node(depth: depth - 1, &random) })
        default:
            var mapping = YAMLMapping()
            for _ in 0..<Int.random(in: 0..<5, using: &random) {
                mapping[string(&random)] = node(depth: depth - 1, &random)
            }
            return YAMLNode(mapping)
        }
    }

    private static let words = [
        "a", "b c", " ", "\n", "\t", ":", "#", " #", ": ", "-", "- ", "?", "---", "...", "yes", "no", "null", "~", "<<",
        "=",
        "1", "0x1f", "1.5", "2001-01-01", "12:30", "'", "\"", "\\", "{", "}", "[", "]", ",", "&", "*", "!", "|", ">",
        "%",
        "@", "`", "é", "日本", "😀", "\u{0}", "\u{7f}", "\u{85}", "\u{a0}", "\u{2028}", "\u{feff}", "\r", "\r\n", "\u{1b}",
        String(repeating: "long", count: 300),
    ]

    private static func string(_ random: inout SeededGenerator) -> String {
        (0..<Int.random(in: 0..<5, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }.joined()
    }
}
