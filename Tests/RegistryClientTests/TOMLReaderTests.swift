import Report
import TestSupport
import Testing

@testable import RegistryClient

@Suite struct TOMLReaderTests {
    private func root(_ text: String) throws -> [String: TOMLNode] {
        guard case .table(let members) = try TOMLReader.parse(text, file: "t").value else { return [:] }
        return members
    }

    private func mistake(_ text: String) -> String? {
        do {
            _ = try TOMLReader.parse(text, file: "t")
            return nil
        } catch {
            return error.description
        }
    }

    @Test func readsTheFilesShape() throws {
        let text = """
            # comment
            unqualified-search-registries = ["a", 'b',
              "c", # more
            ]\r
            n = -1_000
            [aliases]
              "quoted.key" = "docker.io/x"
            [[registry]]
            prefix = "x"
            insecure = true
            [[registry.mirror]]
            location = "m1"
            [[registry.mirror]]
            location = "m2"
            [[registry]]
            prefix = "y\\t\\u00e9\\U0001F600"
            mirror = [{ location = "m3", insecure = false }]
            """
        let root = try root(text)
        #expect(root["unqualified-search-registries"]?.plain == .array([.string("a"), .string("b"), .string("c")]))
        #expect(root["n"]?.plain == .integer(-1000))
        #expect(root["aliases"]?.plain == .table(["quoted.key": .string("docker.io/x")]))
        #expect(
            root["registry"]?.plain
                == .array([
                    .table([
                        "prefix": .string("x"), "insecure": .boolean(true),
                        "mirror": .array([.table(["location": .string("m1")]), .table(["location": .string("m2")])]),
                    ]),
                    .table([
                        "prefix": .string("y\té😀"),
                        "mirror": .array([.table(["location": .string("m3"), "insecure": .boolean(false)])]),
                    ]),
                ])
        )
    }

    @Test func knowsWhereThingsStand() throws {
        let node = try root("a = 1\n\n  b = [true,\n 2]")["b"]
        #expect(node?.place == .init(line: 3, column: 7))
        guard case .array(let items) = node?.value else { return #expect(Bool(false)) }
        #expect(items.map(\.place) == [.init(line: 3, column: 8), .init(line: 4, column: 2)])
    }

    @Test(arguments: [
        ("a", "t:1:2: expected = after the key, found the end of the line"),
        ("a = ", "t:1:5: expected a value, found the end of the line"),
        ("a = 1 b = 2", "t:1:7: expected the end of the line, found \"b\""),
        ("a = 1\na = 2", "t:2:1: the key \"a\" is there already"),
        ("[a]\n[a]", "t:2:2: \"a\" is there already"),
        ("[[a]]\n[a]", "t:2:2: \"a\" is there already"),
        ("a = {}\n[a.b]", "t:2:2: \"a\" is there already and cannot be added to"),
        ("a = [1, 2", "t:1:10: expected , or ] in the array, found the end of the line"),
        ("a = \"x", "t:1:5: the string has no end"),
        ("a = \"\"\"x\"\"\"", "t:1:5: strings over several lines are not used in this file"),
        ("a = \"\\x\"", "t:1:6: unknown escape in the string, use '…' for text with backslashes"),
        ("a = \"\\ud800\"", "t:1:6: the escape is no Unicode character"),
        ("[a", "t:1:3: expected ], found the end of the line"),
        ("[]", "t:1:2: expected a key, found \"]\""),
        ("= 1", "t:1:1: expected a key, found \"=\""),
    ])
    func saysWhatIsWrongWhere(_ text: String, _ message: String) {
        #expect(mistake(text) == message)
    }

    @Test(arguments: ["1.5", "1979-05-27", "0x10", "inf", "01", "1__0", "_1", "99999999999999999999", "yes"])
    func otherValuesAreErrors(_ value: String) {
        #expect(mistake("a = \(value)")?.hasPrefix("t:1:5: ") == true)
    }

    @Test func nestingIsBounded() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(mistake("a = \(deep)")?.contains("deep in each other") == true)
        #expect(mistake("a = " + String(repeating: "{b=", count: 50_000))?.contains("deep in each other") == true)
        #expect(mistake(String(repeating: "a.", count: 50_000) + "b = 1")?.contains("parts") == true)
    }

    /// What is written from values is read back as these values.
    @Test func roundTrip() throws {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<1000 {
            let table = Plain.randomTable(depth: 0, using: &random)
            let text = table.map { "\(Plain.quoted($0.key)) = \($0.value.text)" }.joined(separator: "\n")
            #expect(try TOMLReader.parse(text, file: "t").plain == .table(table), "\(text)")
        }
    }

    /// Every prefix and every mutation of a good file is read or refused, with a place inside the text.
    @Test func damage() {
        let good = "a = [\"x\", 'y', -1]\n[b.\"c d\"] # c\ne = true\n[[f]]\ng = { h = \"\\u0041\" }\n[[f.i]]\n"
        let scalars = Array(good.unicodeScalars)
        var random = SeededGenerator(seed: 12)
        let alphabet = Array("[]{}=\"'.,#\\ \n\r\t1a\u{0}é".unicodeScalars)
        for round in 0..<20_000 {
            var damaged = round <= scalars.count ? Array(scalars.prefix(round)) : scalars
            for _ in 0..<Int.random(in: 0...3, using: &random) where !damaged.isEmpty {
                damaged[Int.random(in: 0..<damaged.count, using: &random)] =
                    alphabet.randomElement(using: &random) ?? "a"
            }
            let lines = damaged.count { $0 == "\n" } + 1
            do {
                _ = try TOMLReader.parse(String(String.UnicodeScalarView(damaged)), file: "t")
            } catch {
                #expect(error.diagnostics.count == 1)
                #expect(
                    error.diagnostics.allSatisfy {
                        (1...lines).contains($0.line) && (1...damaged.count + 1).contains($0.column)
                    })
            }
        }
    }
}

/// A TOML value without places.
private indirect enum Plain: Equatable {
    case string(String)
    case integer(Int64)
    case boolean(Bool)
    case array([Plain])
    case table([String: Plain])

    var text: String {
        switch self {
        case .string(let text): Self.quoted(text)
        case .integer(let number): String(number)
        case .boolean(let flag): String(flag)
        case .array(let items): "[\n" + items.map(\.text).joined(separator: " ,\n") + "]"
        case .table(let members):
            "{ " + members.map { "\(Self.quoted($0.key)) = \($0.value.text)" }.joined(separator: ", ") + " }"
        }
    }

    static func quoted(_ text: String) -> String {
        "\""
            + text.unicodeScalars.map { scalar in
                switch scalar {
                case "\"": "\\\""
                case "\\": "\\\\"
                case "\n": "\\n"
                default: String(scalar)
                }
            }.joined() + "\""
    }

    static func random(depth: Int, using random: inout SeededGenerator) -> Plain {
        switch Int.random(in: 0...(depth < 3 ? 4 : 2), using: &random) {
        case 0: .string(randomText(using: &random))
        case 1: .integer(Int64.random(in: Int64.min...Int64.max, using: &random))
        case 2: .boolean(Bool.random(using: &random))
        case 3:
            .array((0..<Int.random(in: 0...3, using: &random)).map { _ in .random(depth: depth + 1, using: &random) })
        default: .table(randomTable(depth: depth + 1, using: &random))
        }
    }

    static func randomTable(depth: Int, using random: inout SeededGenerator) -> [String: Plain] {
        var table: [String: Plain] = [:]
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            table[randomText(using: &random)] = .random(depth: depth, using: &random)
        }
        return table
    }

    private static func randomText(using random: inout SeededGenerator) -> String {
        let alphabet = Array("abc.é\"\\\n# ='")
        return String(
            (0..<Int.random(in: 0...8, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a" })
    }
}

extension TOMLNode {
    fileprivate var plain: Plain {
        switch value {
        case .string(let text): .string(text)
        case .integer(let number): .integer(number)
        case .boolean(let flag): .boolean(flag)
        case .array(let items): .array(items.map(\.plain))
        case .table(let members): .table(members.mapValues(\.plain))
        }
    }
}
