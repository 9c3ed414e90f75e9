import Clusterfile
import Report
import Synchronization
import Testing

@testable import SealerCommands

@Suite("Secrets that are referred to")
struct SecretSourceTests {
    @Test("each question is asked once, one at a time, and a password is no passphrase")
    func questions() async throws {
        let asked = Mutex<[String]>([])
        let open = Mutex(0)
        let source = SecretSource(environment: ["A": "a", "B": "b"]) { what in
            let together = open.withLock { count in
                count += 1
                return count
            }
            #expect(together == 1)
            asked.withLock { $0.append(what) }
            for _ in 0..<100 { await Task.yield() }
            open.withLock { $0 -= 1 }
            return "answer to \(what)"
        }
        let questions = ["password of ann", "password of bob", "passphrase of /k"]
        let answers = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<12 {
                group.addTask { try await source.secret(.prompt, questions[number % questions.count]) }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(answers == Set(questions.map { "answer to \($0)" }))
        #expect(asked.withLock { $0.sorted() } == questions.sorted())
        // The same words, other references.
        #expect(try await source.secret(.environment("A"), "password of root") == "a")
        #expect(try await source.secret(.environment("B"), "password of root") == "b")
    }
}
