import Clusterfile
import Report
import Testing

@Suite("Clusterfile: bytes of a file")
struct BytesTests {
    @Test("are read as UTF-8")
    func right() throws {
        let text = file("env: {A: \"é, 日本, 😀\"}")
        let parsed = try Cluster.parse(bytes: text.utf8)
        #expect(parsed.cluster == (try Cluster.parse(text).cluster))
        #expect(parsed.cluster.environment == ["A": "é, 日本, 😀"])
    }

    /// What stands in front of the bytes, the bytes, and where the first bad one stands.
    private static let cases: [(String, [UInt8], String)] = [
        ("", [0xff], "1:1"),
        // Latin 1, behind characters of more than one byte.
        ("kind: Cluster\n# 日é ", [0xe9, 0x20], "2:6"),
        // Cut off, at the end and before another character.
        ("a: b\nc: ", [0xe2, 0x82], "2:4"),
        ("a: b\n\n", [0xf0, 0x9f, 0x98, 0x0a], "3:1"),
        // A surrogate, too long a form, and a lone continuation.
        ("a: ", [0xed, 0xa0, 0x80], "1:4"),
        ("a: ", [0xc0, 0xaf], "1:4"),
        ("a: x", [0x80], "1:5"),
    ]

    @Test("that are not UTF-8 are refused at the first of them", arguments: cases)
    func wrong(before: String, bytes: [UInt8], place: String) {
        let error = #expect(throws: InvalidText.self) { try Cluster.parse(bytes: Array(before.utf8) + bytes) }
        #expect(
            error?.diagnostics.map(\.description) == [
                "Clusterfile:\(place): UTF-8 text was expected, from here on it is something else"
            ])
    }

    @Test("are told with the file's own name, and with the mistakes of its text when they are UTF-8")
    func names() {
        func mistake(_ bytes: [UInt8]) -> String? {
            #expect(throws: InvalidText.self) { try Cluster.parse(bytes: bytes, file: "shop.yaml") }?
                .diagnostics.first?.description
        }
        #expect(mistake([0xff])?.hasPrefix("shop.yaml:1:1: UTF-8 text was expected") == true)
        #expect(mistake(Array("x".utf8)) == "shop.yaml:1:1: a document must be a mapping, here stands a string")
    }
}
