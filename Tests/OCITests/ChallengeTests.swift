import TestSupport
import Testing

@testable import OCI

@Suite struct ChallengeTests {
    @Test func readsADockerHubChallenge() {
        let header =
            #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#
        #expect(
            Challenge.parse(header) == [
                Challenge(
                    scheme: "bearer",
                    parameters: [
                        "realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                        "scope": "repository:library/nginx:pull",
                    ]
                )
            ]
        )
    }

    @Test func tellsSeveralChallengesInOneHeaderApart() {
        let header =
            #"Negotiate YWJj==, Basic realm="a, b=\"c\"" , charset="UTF-8", Bearer realm="https://x/t", scope = a"#
        let challenges = Challenge.parse(header)
        #expect(challenges.map(\.scheme) == ["negotiate", "basic", "bearer"])
        #expect(challenges[0].token68 == "YWJj==")
        #expect(challenges[1].parameters == ["realm": #"a, b="c""#, "charset": "UTF-8"])
        #expect(challenges[2].parameters == ["realm": "https://x/t", "scope": "a"])
    }

    @Test(arguments: [
        "", ",,,", "=", "\"", "Bearer realm=\"unfinished", "Bearer realm=\"a\",realm=\"b\"", "Bearer a=b c=d",
    ])
    func refusesWhatIsNotOfTheGrammar(_ header: String) {
        #expect(Challenge.parse(header).isEmpty)
    }

    @Test func keepsWhatStoodBeforeAMistake() {
        #expect(Challenge.parse(#"Basic realm="x", Bearer realm="unfinished"#).map(\.scheme) == ["basic"])
    }

    @Test func aSchemeAloneIsAChallenge() {
        #expect(Challenge.parse("Basic").map(\.scheme) == ["basic"])
        #expect(Challenge.parse("Negotiate, Basic realm=x").map(\.scheme) == ["negotiate", "basic"])
    }

    @Test func bounds() {
        #expect(Challenge.parse("Basic realm=\"" + String(repeating: "x", count: 9000) + "\"").isEmpty)
        #expect(Challenge.parse(String(repeating: "Basic realm=x, ", count: 100)).count == Challenge.countLimit)
        let many = (0..<100).map { "p\($0)=x" }.joined(separator: ",")
        #expect(Challenge.parse("Bearer \(many)").isEmpty)
    }

    /// Whatever is written by the grammar is read back.
    @Test func roundTrip() {
        var random = SeededGenerator(seed: 7)
        let token = Array("abcXYZ019-_.!")
        let free = Array("abc =,\"\\/:é ")
        for _ in 0..<2000 {
            func text(_ alphabet: [Character], _ range: ClosedRange<Int>) -> String {
                String(
                    (0..<Int.random(in: range, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a"
                    })
            }
            let challenges = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                var parameters: [String: String] = [:]
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    parameters[text(token, 1...6).lowercased()] = text(free, 0...12)
                }
                return Challenge(scheme: text(token, 1...8).lowercased(), parameters: parameters)
            }
            let header = challenges.map { challenge in
                let parameters = challenge.parameters.map { name, value in
                    let escaped = value.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
                    return "\(name)=\"\(escaped)\""
                }
                return "\(challenge.scheme) \(parameters.joined(separator: ", "))"
            }.joined(separator: ", ")
            #expect(Challenge.parse(header) == challenges, "\(header)")
        }
    }

    /// No input makes it crash or run away.
    @Test func garbage() {
        var random = SeededGenerator(seed: 8)
        let alphabet = Array("aB1=\", \t\\~+/\u{0}é")
        for _ in 0..<20_000 {
            let header = String(
                (0..<Int.random(in: 0...40, using: &random)).map { _ in
                    alphabet.randomElement(using: &random) ?? "a"
                })
            #expect(Challenge.parse(header).count <= Challenge.countLimit)
        }
    }
}
