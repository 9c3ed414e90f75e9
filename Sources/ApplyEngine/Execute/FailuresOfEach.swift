/// Does something for all at once, to the end for each, whatever becomes of the others.
///
/// - Returns: the errors of those that failed, in the order of the elements.
func failuresOfEach<Element: Sendable>(
    _ elements: some Sequence<Element>, _ body: @escaping @Sendable (Element) async throws -> Void
) async -> [any Error] {
    await withTaskGroup(of: (Int, (any Error)?).self) { group in
        for (number, element) in elements.enumerated() {
            group.addTask {
                do {
                    try await body(element)
                    return (number, nil)
                } catch {
                    return (number, error)
                }
            }
        }
        var failures: [(Int, any Error)] = []
        for await case (let number, let failure?) in group { failures.append((number, failure)) }
        return failures.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
