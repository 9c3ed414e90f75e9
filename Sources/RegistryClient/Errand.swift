/// What is wanted of a registry, as messages name it: `get sha256:… of nginx:1`, `push nginx:1`.
struct Errand: Sendable, CustomStringConvertible {
    /// What is done.
    let verb: String
    /// To what.
    let subject: String

    /// Something comes to us.
    static func get(_ subject: String) -> Errand { Errand(verb: "get", subject: subject) }
    /// Something goes there.
    static func push(_ subject: String) -> Errand { Errand(verb: "push", subject: subject) }
    /// Only who we are matters.
    static func logIn(_ subject: String) -> Errand { Errand(verb: "log in to", subject: subject) }

    var description: String { "\(verb) \(subject)" }
}
