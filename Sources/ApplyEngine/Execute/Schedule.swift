/// Which steps of a plan may begin next. What it costs grows with the plan's steps and arrows, not with their product.
struct Schedule {
    private let steps: [PlanStep]
    /// Who waits for a step.
    private let followers: [[Int]]
    /// For how many steps each still waits.
    private var missing: [Int]
    /// The steps that may begin, in the order of the plan.
    private var ready: [Int] = []
    private var busyLanes: Set<String> = []
    private var state: [State]

    private enum State {
        case waiting, running, done, failed, skipped
    }

    init(_ plan: Plan) {
        steps = plan.steps
        let places = Dictionary(plan.steps.enumerated().map { ($1.id, $0) }) { first, _ in first }
        var followers = [[Int]](repeating: [], count: plan.steps.count)
        var missing = [Int](repeating: 0, count: plan.steps.count)
        for (number, step) in plan.steps.enumerated() {
            for place in Set(step.after).compactMap({ places[$0] }) {
                followers[place].append(number)
                missing[number] += 1
            }
        }
        self.followers = followers
        self.missing = missing
        state = [State](repeating: .waiting, count: plan.steps.count)
        ready = missing.indices.filter { missing[$0] == 0 }
    }

    /// The next step that may begin; it counts as running then.
    mutating func next() -> (number: Int, step: PlanStep)? {
        let free = ready.firstIndex { number in steps[number].lane.map { !busyLanes.contains($0) } ?? true }
        guard let free else { return nil }
        let number = ready.remove(at: free)
        if let lane = steps[number].lane { busyLanes.insert(lane) }
        state[number] = .running
        return (number, steps[number])
    }

    /// Notes that a step was done: those that waited for it alone may begin.
    mutating func finish(_ number: Int) {
        leaveLane(number)
        state[number] = .done
        for follower in followers[number] {
            missing[follower] -= 1
            guard missing[follower] == 0, state[follower] == .waiting else { continue }
            let place = ready.firstIndex { $0 > follower } ?? ready.count
            ready.insert(follower, at: place)
        }
    }

    /// Notes that a step failed: whatever waits for it, directly or not, cannot happen.
    mutating func fail(_ number: Int) {
        leaveLane(number)
        state[number] = .failed
        var left = followers[number]
        while let follower = left.popLast() {
            guard state[follower] == .waiting else { continue }
            state[follower] = .skipped
            left += followers[follower]
        }
    }

    private mutating func leaveLane(_ number: Int) {
        if let lane = steps[number].lane { busyLanes.remove(lane) }
    }

    /// The steps that cannot happen because of a failure before them.
    var skipped: [PlanStep] { steps.indices.filter { state[$0] == .skipped }.map { steps[$0] } }
    /// The steps that could still begin.
    var waiting: [PlanStep] { steps.indices.filter { state[$0] == .waiting }.map { steps[$0] } }
}
