"""GM datasets: cards, recipes, building, loading, auditing and sharing them."""
