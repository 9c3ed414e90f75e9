import FoundationEssentials
import TestSupport
import Testing

@testable import RegistryClient

@Suite struct JSONMembersTests {
    @Test(arguments: [
        "{}", " { } ", #"{"a":1}"#, #"{"a" : "b\"}{" , "c":[[],{"d":{}}],"e":-1.5e+3,"f":true}"#,
        #"{"\u0061\n\"":null}"#, #"{"a":{"b":"\\"},"c":"\\\""}"#,
    ])
    func whatIsCutIsPutTogetherAgain(_ text: String) throws {
        let members = try #require(JSONMembers(text.utf8))
        let again = try #require(JSONMembers(try members.text()))
        #expect(again == members)
        #expect(try JSONMembers(again.text(depth: 3)) == members)
    }

    @Test(arguments: ["", "[]", "1", "{", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}x"#, "null", #"{"a":1}}"#])
    func whatIsNoObject(_ text: String) {
        #expect(JSONMembers(text.utf8) == nil)
    }

    @Test func values() throws {
        let members = try #require(JSONMembers(#"{"a": 1.10 ,"b":[1, 2]  , "a":"x y" }"#.utf8))
        #expect(members.members.map { String(decoding: $0.value, as: UTF8.self) } == ["1.10", "[1, 2]", #""x y""#])
        #expect(members["a"] == Array(#""x y""#.utf8))
    }

    /// No damage makes it crash, and what it takes the decoder takes.
    @Test func damage() {
        let good = Array(#"{"a":{"b":[1,"\u0041"]},"c": "x\\", "d":null}"#.utf8)
        var random = SeededGenerator(seed: 31)
        let alphabet = Array(#"{}[]":,\ 1a"#.utf8)
        for _ in 0..<5_000 {
            var text = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                text[Int.random(in: 0..<text.count, using: &random)] = alphabet.randomElement(using: &random) ?? 0
            }
            guard let members = JSONMembers(text) else { continue }
            #expect((try? JSONMembers(members.text())) == members, "\(String(decoding: text, as: UTF8.self))")
        }
    }
}
