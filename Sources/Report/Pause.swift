/// Lets the task rest for a while; ends early, by throwing, when the task is cancelled.
///
/// - Throws: `CancellationError`.
public func pause(for duration: Duration) async throws {
    try await Task.sleep(for: duration)
}
